//! The overlay library against a simple model: random layers, random operations, the same outcome.
//!
//! `PROPTEST_CASES` sets the number of cases; the seed is printed, and `PROPTEST_RNG_SEED` repeats it.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

#[path = "model/check.rs"]
mod check;
#[path = "model/layers.rs"]
mod layers;
#[path = "model/listing.rs"]
mod listing;
#[path = "model/ops.rs"]
mod ops;
#[path = "model/run.rs"]
mod run;
#[path = "model/snapshot.rs"]
mod snapshot;
#[path = "model/steps.rs"]
mod steps;
#[path = "model/tree.rs"]
mod tree;

use std::time::{SystemTime, UNIX_EPOCH};

use lamina::config::{Behaviour, Durability, Index, Namespace, RedirectDir, Whiteouts};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

use layers::{Entries, Powers, any_layer};
use ops::{Op, any_op};
use run::{ListParts, Runner};

/// When the whole tree is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    EachStep,
    /// So that looking does not warm every cache before every step.
    AtTheEnd,
}

#[derive(Debug, Clone)]
struct Case {
    layers: Vec<Entries>,
    ops: Vec<Op>,
    compare: Compare,
    lists_parts: ListParts,
    behaviour: Behaviour,
}

fn any_case(powers: Powers, index: Index) -> impl Strategy<Value = Case> {
    let namespaces =
        if powers.root { &[Namespace::Trusted, Namespace::User][..] } else { &[Namespace::User] };
    let behaviour = (
        prop::sample::select(&[RedirectDir::On, RedirectDir::On, RedirectDir::Follow][..]),
        prop::sample::select(namespaces),
        prop::sample::select(&[Whiteouts::Auto, Whiteouts::Kernel][..]),
    )
        .prop_map(move |(redirect_dir, namespace, whiteouts)| Behaviour {
            redirect_dir,
            index,
            namespace: Some(namespace),
            whiteouts,
            // The order of writes is not what is tested here, and syncing takes most of the time.
            durability: Durability::None,
            ..Behaviour::default()
        });
    behaviour.prop_flat_map(move |behaviour| {
        let oci = behaviour.whiteouts == Whiteouts::Auto;
        (
            prop::collection::vec(any_layer(powers, oci), 1..4),
            prop::collection::vec(any_op(powers), 1..60),
            prop::sample::select(&[Compare::EachStep, Compare::AtTheEnd][..]),
            prop::sample::select(&[ListParts::WhenWorthIt, ListParts::AtOnce][..]),
        )
            .prop_map(move |(layers, ops, compare, lists_parts)| Case {
                layers,
                ops,
                compare,
                lists_parts,
                behaviour: behaviour.clone(),
            })
    })
}

fn run_case(case: &Case, powers: Powers) -> Result<(), String> {
    let mut runner = Runner::new(&case.layers, case.behaviour.clone(), powers, case.lists_parts)?;
    run_steps(&mut runner, case).map_err(|why| format!("{why}\nafter:\n{}", runner.story()))
}

fn run_steps(runner: &mut Runner, case: &Case) -> Result<(), String> {
    if case.compare == Compare::EachStep {
        runner.check_tree().map_err(|why| format!("at the start: {why}"))?;
    }
    for op in &case.ops {
        runner.step(op)?;
        if case.compare == Compare::EachStep {
            runner.check_tree()?;
        }
    }
    runner.check_tree()?;
    runner.reopen()?;
    runner.check_tree().map_err(|why| format!("after reopening: {why}"))?;
    runner.check_lowers()
}

/// Enough to meet each pair of operations; `PROPTEST_CASES` for more.
const CASES: u32 = 400;

fn compare(index: Index, cases: u32) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        config.rng_seed = RngSeed::Fixed(u64::from(now.subsec_nanos()) ^ now.as_secs());
    }
    if let RngSeed::Fixed(seed) = config.rng_seed {
        println!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={} repeats this run", config.cases);
    }
    let powers = Powers::ours();
    let outcome = TestRunner::new(config)
        .run(&any_case(powers, index), |case| run_case(&case, powers).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => {
            let Case { layers, behaviour, lists_parts, .. } = case;
            panic!("{why}\nlayers, top first: {layers:?}\nwith {behaviour:?}, {lists_parts:?}");
        }
        Err(TestError::Abort(why)) => panic!("given up: {why}"),
    }
}

#[test]
fn the_union_does_what_the_model_does() {
    compare(Index::Off, CASES);
}

#[test]
fn the_union_with_an_index_does_what_the_model_does() {
    compare(Index::On, CASES / 2);
}
