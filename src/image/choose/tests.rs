use super::*;

/// `NAMES PLATFORM NUMBER`: names separated by commas, `-` for none; the number is the digest's every byte.
fn candidates(text: &str) -> Vec<Candidate> {
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [names, platform, number] = words[..] else { panic!("{line}") };
            Candidate {
                names: names.split(',').filter(|name| *name != "-").map(str::to_owned).collect(),
                platform: Some(platform).filter(|text| *text != "-").map(|text| text.parse().unwrap()),
                digest: Digest::from_bytes([number.parse().unwrap(); 32]),
                nature: if platform == "unknown/unknown" { Nature::Artifact } else { Nature::Image },
            }
        })
        .collect()
}

fn choose(text: &str, tag: Option<&str>, platform: Option<&str>) -> Result<usize, Problem> {
    let all = candidates(text);
    let positions = by_tag(&all, tag)?;
    let some: Vec<Candidate> = positions.iter().map(|n| all[*n].clone()).collect();
    let asked = platform.map(|text| text.parse().unwrap());
    by_platform(&some, asked.as_ref(), &"linux/amd64".parse().unwrap()).map(|n| positions[n])
}

#[test]
fn one_image_is_meant_whatever_it_is_made_for() {
    for image in ["1.0 linux/amd64 1", "- linux/arm64 1", "1.0 - 1"] {
        assert_eq!(choose(image, None, None), Ok(0), "{image}");
    }
    // The same image under two names is one image.
    assert_eq!(choose("a linux/arm64 1\nb linux/arm64 1", None, None), Ok(0));
    let error = choose("1.0 linux/arm64 1", None, Some("linux/amd64")).unwrap_err();
    assert!(error.to_string().starts_with("no image in it is for linux/amd64. There is:\n"), "{error}");
}

#[test]
fn tag_and_platform_choose() {
    let several = "1.0 linux/amd64 1\n1.0 linux/arm64 2\n1.0 linux/arm/v6 3\n1.0 linux/arm/v7 4\n1.0 unknown/unknown 5\n\
                   2.0 linux/arm64 6\n- linux/s390x 7";
    for (tag, platform, expected) in [
        (None, None, 0),
        (Some("1.0"), None, 0),
        (Some("2.0"), None, 5),
        (Some("1.0"), Some("linux/arm64"), 1),
        (Some("1.0"), Some("linux/arm/v7"), 3),
        (Some("1.0"), Some("linux/arm/v8"), 3),
        (Some("@6"), None, 6),
        (Some("@1"), None, 1),
        (Some("sha256:0606"), None, 5),
        (Some("070707070707"), None, 6),
        (None, Some("linux/s390x"), 6),
    ] {
        assert_eq!(choose(several, tag, platform), Ok(expected), "{tag:?} {platform:?}");
    }
    for (tag, platform, message) in [
        (Some("3.0"), None, "no image in it has the tag '3.0'. There are:\n"),
        (Some("@7"), None, "no image in it has the tag '@7'. There are:\n"),
        (Some("2.0"), Some("linux/amd64"), "no image in it is for linux/amd64. There is:\n"),
        (None, Some("linux/arm64"), "2 images in it would do:\n"),
        (Some("1.0"), Some("linux/arm"), "2 images in it would do:\n"),
    ] {
        let error = choose(several, tag, platform).unwrap_err().to_string();
        assert!(error.starts_with(message), "{tag:?} {platform:?}: {error}");
    }
    let foreign = choose("a linux/arm64 1\na linux/arm/v7 2", None, None).unwrap_err().to_string();
    assert!(foreign.starts_with("no image in it is for this machine's platform, linux/amd64."), "{foreign}");
    assert_eq!(choose("", None, None), Err(Problem::Empty));
    assert_eq!(choose("", Some("x"), None), Err(Problem::Empty));
}

#[test]
fn an_artifact_is_taken_only_where_there_is_nothing_else() {
    assert_eq!(choose("- unknown/unknown 1\n- linux/arm64 2", None, None), Ok(1));
    assert_eq!(choose("- unknown/unknown 1", None, None), Ok(0));
}

#[test]
fn the_better_name_wins() {
    let names = "localhost/app:1.0 linux/amd64 1\ndocker.io/library/app:1.0 linux/amd64 2\nquay.io/app:2.0 linux/amd64 3";
    assert_eq!(choose(names, Some("app:1.0"), None), Ok(1));
    assert_eq!(choose(names, Some("localhost/app:1.0"), None), Ok(0));
    assert_eq!(choose(names, Some("2.0"), None), Ok(2));
    assert!(matches!(choose(names, Some("1.0"), None), Err(Problem::Ambiguous(list)) if list.len() == 2));
}

#[test]
fn what_there_is_is_a_table_with_what_to_type() {
    let list = |text: &str| Listing::new(candidates(text));
    let two = list("a linux/amd64 1\nb linux/amd64 1\n- linux/arm/v7 2");
    assert_eq!(
        two.to_string(),
        "  TAG   PLATFORM      DIGEST\n\
         \x20 a, b  linux/amd64   sha256:010101010101\n\
         \x20 -     linux/arm/v7  sha256:020202020202"
    );
    assert_eq!(two.how_to_choose(), "choose one with --platform: --platform linux/amd64");
    for (text, hint) in [
        ("a linux/amd64 1\nb linux/amd64 2", "choose one with --tag: --tag a"),
        (
            "a linux/amd64 1\nb linux/arm64 2",
            "choose one with --tag and --platform: --tag a --platform linux/amd64",
        ),
        ("- linux/amd64 1\n- linux/amd64 2", "choose one by its digest: --tag sha256:010101010101"),
        ("- linux/amd64 1", "leave the tag and the platform out to get it"),
    ] {
        assert_eq!(list(text).how_to_choose(), hint);
    }
    let many: String = (0..50).map(|n| format!("t{n} linux/amd64 {n}\n")).collect();
    assert!(list(&many).to_string().ends_with("\n  and 10 more"));
}
