use super::*;
use crate::waste::Score;

/// dive's test image: 1,220,598 bytes, 66,237 of them not of the base, 32,025 wasted.
fn test_image() -> Waste {
    Waste {
        layers: vec![1_154_361, 66_237],
        hidden: 32_025,
        between: Vec::new(),
        rows: Vec::new(),
        row_count: 0,
        score: Score { efficiency: 0.984_421_213_418_430_9, wasted: 32_025, paths: 3 },
        references: Vec::new(),
    }
}

fn args(efficiency: &str, bytes: &str, percent: &str) -> RuleArgs {
    RuleArgs {
        ci: true,
        ci_config: Some("/dev/null".into()),
        lowest_efficiency: Some(efficiency.to_owned()),
        highest_wasted_bytes: Some(bytes.to_owned()),
        highest_user_wasted_percent: Some(percent.to_owned()),
    }
}

fn judged(efficiency: &str, bytes: &str, percent: &str) -> ([Status; 3], bool) {
    let rules = args(efficiency, bytes, percent).rules().unwrap().unwrap();
    let verdict = Verdict::of(&rules, &test_image());
    let status: Vec<Status> = verdict.rules.iter().map(|one| one.status).collect();
    (status.try_into().unwrap(), verdict.answer() == Answer::Yes)
}

/// The cases of dive's own tests of its rules (cmd/dive/cli/internal/command/ci/evaluator_test.go), and the limits themselves.
#[test]
fn verdicts_are_those_of_dive() {
    use Status::{Disabled, Fail, Pass};
    for (rules, expected) in [
        (["0.99", "1B", "0.01"], ([Fail, Fail, Fail], false)),
        (["0.9", "50kB", "0.5"], ([Pass, Pass, Pass], true)),
        (["disabled", "disabled", "disabled"], ([Disabled, Disabled, Disabled], true)),
        (["0.9", "1B", "0.5"], ([Pass, Fail, Pass], false)),
        (["0.9844212134184309", "32025", "0.4834911001404049"], ([Pass, Pass, Pass], true)),
        (["0.984421213418431", "32024", "0.48349110014040487"], ([Fail, Fail, Fail], false)),
    ] {
        let [efficiency, bytes, percent] = rules;
        assert_eq!(judged(efficiency, bytes, percent), expected, "{rules:?}");
    }
}

#[test]
fn rules_that_make_no_sense_are_told_from_where_they_are() {
    for (rules, message) in [
        (["1.1", "50kB", "0.5"], "rule lowestEfficiency: '1.1' is not within 0 and 1"),
        (["x", "50kB", "0.5"], "rule lowestEfficiency: 'x' is no number"),
        (["0.9", "not_a_size", "0.5"], "rule highestWastedBytes: 'not_a_size' is no size, such as 20MB"),
        (["0.9", "50kB", "-0.1"], "rule highestUserWastedPercent: '-0.1' is not within 0 and 1"),
    ] {
        let [efficiency, bytes, percent] = rules;
        let failure = args(efficiency, bytes, percent).rules().unwrap_err();
        assert_eq!((failure.message.as_str(), failure.class), (message, crate::cli::ExitClass::Usage));
    }
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
    let mut args = args("0.5", "1MB", "1");
    let in_file = file::parse("rules: {lowestEfficiency: 0.7, highestUserWastedPercent: 0.2}").unwrap();
    let limits = |args: &RuleArgs, in_file| args.chosen(in_file).unwrap().unwrap().map(|(_, limit)| limit);
    assert_eq!(limits(&args, &in_file), [Limit::Ratio(0.5), Limit::Bytes(1_000_000), Limit::Ratio(1.0)]);
    args.lowest_efficiency = None;
    args.highest_wasted_bytes = None;
    args.highest_user_wasted_percent = None;
    assert_eq!(limits(&args, &in_file), [Limit::Ratio(0.7), Limit::None, Limit::Ratio(0.2)]);
    assert_eq!(limits(&args, &FileRules::default()), [Limit::Ratio(0.9), Limit::None, Limit::Ratio(0.1)]);
}

#[test]
fn an_image_of_one_layer_has_no_user_bytes() {
    let rules = args("disabled", "disabled", "0").rules().unwrap().unwrap();
    let judged = |wasted| {
        let mut waste = Waste { layers: vec![10], ..test_image() };
        waste.score.wasted = wasted;
        Verdict::of(&rules, &waste).rules.pop().unwrap()
    };
    assert_eq!((judged(0).status, judged(0).says.as_str()), (Status::Pass, "0 is at most 0"));
    assert_eq!((judged(1).status, judged(1).says.as_str()), (Status::Fail, "inf is more than 0"));
}

#[test]
fn ratios_are_short_where_that_tells_the_same() {
    let text = |ratio, limit| ratio_text(ratio, Limit::Ratio(limit));
    assert_eq!(text(0.984_421_213, 0.9), "0.9844");
    assert_eq!(text(0.5, 0.9), "0.5");
    assert_eq!(text(0.899_999, 0.9), "0.899999", "not 0.9, which is not less than 0.9");
    assert_eq!(text(0.984_421, 0.984_42), "0.984421");
    assert_eq!(text(1.0, 1.0), "1");
    assert_eq!(ratio_text(1.0 / 3.0, Limit::None), "0.3333");
}
