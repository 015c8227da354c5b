//! What is said of images: `lamina inspect` and `lamina layers`.

use std::fs;

use serde_json::{Value, json};

use crate::images::{Compression, DockerStyle, Entry, ImageBuilder, Layer, architecture, docker, oci};
use crate::place::{Place, outcome, tar_of};

fn built() -> crate::images::Built {
    let base = tar_of([Entry::dir("etc"), Entry::file("etc/passwd", "root"), Entry::file("old", "12345678")]);
    let top = tar_of([Entry::whiteout("old"), Entry::file("etc/passwd", "others"), Entry::file("new", "")]);
    ImageBuilder::new()
        .layer(Layer::new(base).compressed(Compression::Gzip).by("/bin/sh -c #(nop) ADD file:12 in / "))
        .step("ENV A=b")
        .layer(Layer::new(top).by("RUN /bin/sh -c rm /old # buildkit"))
        .tag("example.org/app:v1")
        .edit_config(|config| {
            config["config"] = json!({
                "Env": ["A=b", "PATH=/bin"],
                "Entrypoint": ["/app"],
                "Cmd": ["--help"],
                "Labels": {"org.opencontainers.image.title": "app"},
                "User": "1000",
                "WorkingDir": "/srv",
                "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/data": {}},
                "StopSignal": "SIGINT",
            });
            config["created"] = json!("2024-05-06T07:08:09.123Z");
            config["author"] = json!("somebody");
        })
        .build()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn inspect_says_what_the_image_says() {
    let place = Place::new();
    let image = built();
    oci(&[&image]).to_archive(&place.path("image.tar"));
    let said = outcome(place.lamina().args(["inspect", "image.tar", "--json"])).succeeds();
    let said = parsed(&said.out);
    for (field, expected) in [
        ("name", json!("image.tar")),
        ("tags", json!(["example.org/app:v1"])),
        ("created", json!("2024-05-06T07:08:09.123Z")),
        ("author", json!("somebody")),
        ("platform", json!({"os": "linux", "architecture": architecture(), "variant": null})),
        ("user", json!("1000")),
        ("working_dir", json!("/srv")),
        ("env", json!(["A=b", "PATH=/bin"])),
        ("entrypoint", json!(["/app"])),
        ("cmd", json!(["--help"])),
        ("labels", json!({"org.opencontainers.image.title": "app"})),
        ("exposed_ports", json!(["80/tcp"])),
        ("volumes", json!(["/data"])),
        ("stop_signal", json!("SIGINT")),
    ] {
        assert_eq!(said[field], expected, "{field}");
    }
    let layers = said["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0]["number"], 1);
    let stored: u64 = layers.iter().map(|layer| layer["stored_bytes"].as_u64().unwrap()).sum();
    assert_eq!(said["stored_bytes"], stored);

    let text = outcome(place.lamina().args(["inspect", "image.tar"])).succeeds().out;
    for line in [
        "tags         example.org/app:v1",
        "env          A=b",
        "             PATH=/bin",
        "entrypoint   [\"/app\"]",
        "stop signal  SIGINT",
        "layers       2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
    }
    let data = place.path("data");
    assert!(!place.store().exists() && !data.exists(), "nothing was read but documents, and no store made");
}

#[test]
fn inspect_says_the_unpacked_size_once_the_layers_are_known() {
    let place = Place::new();
    oci(&[&built()]).to_archive(&place.path("image.tar"));
    let size = || {
        let said = place.run("inspect", &["image.tar", "--json"]).succeeds();
        parsed(&said.out)["unpacked_bytes"].clone()
    };
    assert_eq!(size(), Value::Null);
    assert!(!place.store().exists(), "looking makes no store");
    let said = place.run("inspect", &["image.tar"]).succeeds().out;
    assert!(said.ends_with("\nunpacked     not known yet; lamina layers finds it out\n"), "{said}");
    place.run("layers", &["image.tar"]).succeeds();
    let stored = place.stored();
    assert_eq!(size(), 18);
    let said = place.run("inspect", &["image.tar"]).succeeds().out;
    assert!(said.ends_with("\nunpacked     18 B\n"), "{said}");
    assert_eq!(place.stored(), stored);
    // Another file with the same image was not verified.
    fs::copy(place.path("image.tar"), place.path("copy.tar")).unwrap();
    let said = place.run("inspect", &["copy.tar", "--json"]).succeeds();
    assert_eq!(parsed(&said.out)["unpacked_bytes"], Value::Null);
    // A store that was named, and is none.
    fs::create_dir(place.path("other")).unwrap();
    fs::write(place.path("other/file"), "").unwrap();
    outcome(place.lamina().args(["inspect", "image.tar", "--store", "other"]))
        .refuses("no store", &["other", "is not a layer store"]);
}

#[test]
fn layers_are_told_by_their_instructions() {
    let place = Place::new();
    let image = built();
    let path = place.path("image.tar");
    docker(&[&image], DockerStyle::Skopeo).to_archive(&path);
    let said = place.run("layers", &[path.as_os_str(), "--json".as_ref()]).succeeds();
    let rows = parsed(&said.out);
    let of = |row: &Value| {
        let fields = ["number", "unpacked_bytes", "added", "changed", "deleted", "instruction"];
        Value::from(fields.map(|field| row[field].clone()).to_vec())
    };
    let rows: Vec<Value> = rows.as_array().unwrap().iter().map(of).collect();
    assert_eq!(
        rows,
        [
            json!([1, 12, 3, 0, 0, "ADD file:12 in /"]),
            json!([null, null, null, null, null, "ENV A=b"]),
            json!([2, 6, 1, 1, 1, "RUN rm /old"]),
        ]
    );
    let table = place.run("layers", &[&path]).succeeds().out;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("LAYER  DIGEST "), "{table}");
    assert!(lines[2].starts_with("-      no layer ") && lines[2].ends_with(" ENV A=b"), "{table}");
    assert!(lines[3].starts_with("2 ") && lines[3].ends_with(" RUN rm /old"), "{table}");
}

#[test]
fn of_several_images_one_must_be_chosen() {
    let place = Place::new();
    let other = ImageBuilder::new().layer(Layer::new(tar_of([]))).tag("other:v2").build();
    oci(&[&built(), &other]).to_dir(&place.path("images"));
    for command in ["inspect", "layers"] {
        let run = |flags: &[&str]| {
            let mut lamina = place.lamina();
            lamina.args([command, "images"]).args(flags);
            if command == "layers" {
                lamina.arg("--store").arg(place.store());
            }
            outcome(&mut lamina)
        };
        run(&[]).refuses(command, &["'images'", "example.org/app:v1", "other:v2", "--tag"]);
        run(&["--tag", "none"]).refuses(command, &["'none'", "other:v2"]);
        run(&["--tag", "v2"]).succeeds();
        let wrong = run(&["--platform", "nonsense"]);
        assert_eq!(wrong.code, 2, "{wrong:?}");
    }
}

#[test]
fn a_layer_that_is_not_what_it_should_be_is_not_counted() {
    let place = Place::new();
    let image = built();
    let blob = image.layers[1].blob();
    let files = oci(&[&image]).flip(&blob, 700);
    files.to_dir(&place.path("images"));
    place
        .run("layers", &["images"])
        .refuses("a damaged layer", &["layer 2", "'images'", "expected", "found"]);
}
