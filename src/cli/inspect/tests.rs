use super::*;
use crate::digest::Digest;
use crate::image::{Documents, HistoryFit, ImageLayer, LayerSource, Platform};

fn image() -> Image {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let layer = |byte, stored| ImageLayer {
        digest: Some(Digest::from_bytes([byte; 32])),
        diff_id: Digest::from_bytes([byte + 1; 32]),
        stored,
        source: LayerSource::Directory("/nowhere".into()),
    };
    Image {
        name: "app.tar".to_owned(),
        place: "app.tar".to_owned(),
        tags: words(&["localhost/app:v1", "localhost/app:latest"]),
        manifest_digest: None,
        config_digest: Digest::from_bytes([0xab; 32]),
        config: ImageConfig {
            platform: "linux/arm/v7".parse::<Platform>().unwrap(),
            created: Some("2024-05-06T07:08:09.5Z".parse().unwrap()),
            author: None,
            env: words(&["PATH=/bin", "A=b\nc"]),
            entrypoint: words(&["/bin/app", "a \"b\""]),
            cmd: Vec::new(),
            labels: [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
            user: Some("1000:1000".to_owned()),
            working_dir: None,
            exposed_ports: words(&["80/tcp"]),
            volumes: Vec::new(),
            stop_signal: None,
        },
        history: Vec::new(),
        history_fit: HistoryFit::Short(2),
        layers: vec![layer(1, 1_500_000), layer(3, 500)],
        documents: Documents { config: Vec::new(), manifest: None },
    }
}

#[test]
fn people_see_a_line_for_each_thing_the_image_says() {
    let now = "2024-05-09T07:08:10Z".parse().unwrap();
    let expected = "\
image       app.tar
tags        localhost/app:v1
            localhost/app:latest
config      sha256:abababababababababababababababababababababababababababababababab
created     2024-05-06 07:08:09 UTC (3 days ago)
platform    linux/arm/v7
user        1000:1000
env         PATH=/bin
            A=b\\nc
entrypoint  [\"/bin/app\", \"a \\\"b\\\"\"]
ports       80/tcp
labels      a=1
            b=2
layers      2
stored      1.50 MB
unpacked    4.00 MB
";
    assert_eq!(described(&image(), Some(4_000_000), now), expected);
    let unknown = described(&image(), None, now);
    assert!(unknown.ends_with("\nunpacked    not known yet; lamina layers finds it out\n"), "{unknown}");
}

#[test]
fn an_image_from_the_future_is_not_so_long_ago() {
    let now = "2020-01-01T00:00:00Z".parse().unwrap();
    assert!(
        described(&image(), None, now).contains("\ncreated     2024-05-06 07:08:09 UTC (in the future)\n")
    );
}

#[test]
fn json_is_the_documented_one() {
    let image = image();
    let json = serde_json::to_value(Inspected::of(&image, Some(7))).unwrap();
    let digest = |byte: &str| format!("sha256:{}", byte.repeat(32));
    let expected = serde_json::json!({
        "name": "app.tar",
        "tags": ["localhost/app:v1", "localhost/app:latest"],
        "manifest_digest": null,
        "config_digest": digest("ab"),
        "created": "2024-05-06T07:08:09.5Z",
        "author": null,
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
        "user": "1000:1000",
        "working_dir": null,
        "env": ["PATH=/bin", "A=b\nc"],
        "entrypoint": ["/bin/app", "a \"b\""],
        "cmd": [],
        "labels": {"a": "1", "b": "2"},
        "exposed_ports": ["80/tcp"],
        "volumes": [],
        "stop_signal": null,
        "stored_bytes": 1_500_500,
        "unpacked_bytes": 7,
        "layers": [
            {"number": 1, "digest": digest("01"), "diff_id": digest("02"), "stored_bytes": 1_500_000},
            {"number": 2, "digest": digest("03"), "diff_id": digest("04"), "stored_bytes": 500},
        ],
    });
    assert_eq!(json, expected);
}
