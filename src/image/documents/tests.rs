use serde_json::json;

use super::*;

fn hex(byte: &str) -> String {
    format!("sha256:{}", byte.repeat(32))
}

#[test]
fn configs_are_read_as_docker_and_buildah_write_them() {
    let docker = json!({
        "architecture": "arm", "variant": "v7", "os": "linux",
        "config": {
            "Hostname": "", "User": "www:www", "ExposedPorts": {"80/tcp": {}, "443/tcp": null},
            "Env": ["PATH=/bin", "A=b"], "Cmd": ["a", "b"], "Image": "sha256:abc",
            "Volumes": {"/data": {}}, "WorkingDir": "/w", "Entrypoint": "/bin/x", "OnBuild": null,
            "Labels": {"a": "b", "c": null}, "StopSignal": "SIGQUIT", "Healthcheck": {"Test": ["NONE"]},
        },
        "container": "0123", "container_config": {"Cmd": null},
        "created": "2024-02-03T04:05:06.123456789+01:00", "docker_version": "20.10", "author": "me",
        "history": [
            {"created": "2024-02-03T04:05:06Z", "created_by": "/bin/sh -c #(nop) ENV A=b", "empty_layer": true},
            {"created": "", "created_by": "COPY", "comment": "buildkit.dockerfile.v0", "empty_layer": null},
        ],
        "rootfs": {"type": "layers", "diff_ids": [hex("ab")]},
    });
    let config = Config::parse(docker.to_string().as_bytes()).unwrap();
    let image = &config.image;
    assert_eq!(image.platform.to_string(), "linux/arm/v7");
    assert_eq!(image.created.unwrap().to_string(), "2024-02-03T03:05:06.123456789Z");
    assert_eq!(
        (image.env.len(), image.entrypoint.as_slice(), image.cmd.len()),
        (2, &["/bin/x".to_owned()][..], 2)
    );
    assert_eq!(image.exposed_ports, ["443/tcp", "80/tcp"]);
    assert_eq!(image.labels.get("c").map(String::as_str), Some(""));
    assert_eq!(config.diff_ids.len(), 1);
    assert_eq!(config.history.iter().map(|(_, layer)| *layer).collect::<Vec<_>>(), [false, true]);
    assert_eq!(config.history[1].0.created, None);

    let nulls = json!({
        "created": "", "author": null, "architecture": "amd64", "os": "linux",
        "config": {"Env": null, "Labels": null, "Entrypoint": null, "Cmd": null, "Volumes": null, "ExposedPorts": null, "User": ""},
        "rootfs": {"type": "layers", "diff_ids": null}, "history": null,
    });
    let config = Config::parse(nulls.to_string().as_bytes()).unwrap();
    assert_eq!(config.image.created, None);
    assert_eq!((config.image.user, config.image.env.len(), config.history.len()), (None, 0, 0));
    assert!(config.has_platform);

    let least = Config::parse(br#"{"rootfs":{},"created":"0001-01-01T00:00:00Z"}"#).unwrap();
    assert_eq!((least.has_platform, least.image.created), (false, None));
    let yesterday = Config::parse(br#"{"rootfs":{},"created":"yesterday"}"#).unwrap();
    assert_eq!(yesterday.image.created, None);
}

#[test]
fn configs_that_cannot_be_relied_on_are_refused() {
    let many = json!({"rootfs": {"diff_ids": vec![hex("ab"); MOST_LAYERS + 1]}}).to_string();
    for (config, message) in [
        ("", "the config cannot be understood: it is not JSON: EOF while parsing a value at line 1 column 0"),
        (
            "{",
            "the config cannot be understood: it is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("[]", "the config cannot be understood: "),
        ("{}", "the config cannot be understood: it has no rootfs"),
        (
            r#"{"rootfs":{"diff_ids":["sha256:../../etc/passwd"]}}"#,
            "diff_id of layer 1: 'sha256:../../etc/passwd' is not a digest",
        ),
        (
            r#"{"rootfs":{"diff_ids":["sha512:ab"]}}"#,
            "diff_id of layer 1: digest algorithm 'sha512' is not supported",
        ),
        (r#"{"rootfs":{"diff_ids":[5]}}"#, "the config cannot be understood: invalid type: integer `5`"),
        (r#"{"rootfs":{},"config":{"Env":"A=b"}}"#, "the config cannot be understood: invalid type: string"),
        (&many, "the image is too large: 4097 layers, the limit is 4096 layers"),
    ] {
        let error = Config::parse(config.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_document_must_be_what_its_place_demands() {
    let descriptor = json!({"mediaType": "x", "digest": hex("ab"), "size": 1});
    let manifest = |change: serde_json::Value| {
        let mut document = json!({"schemaVersion": 2, "config": descriptor, "layers": [descriptor]});
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Manifest::parse(document.to_string().as_bytes()).map_err(|problem| problem.to_string())
    };
    assert_eq!(manifest(json!({})).unwrap().layers.len(), 1);
    assert_eq!(manifest(json!({"layers": null})).unwrap().layers.len(), 0);
    assert!(manifest(json!({"mediaType": "application/vnd.docker.distribution.manifest.v2+json"})).is_ok());
    for (change, message) in [
        (json!({"schemaVersion": 1}), "the manifest has schema version 1, expected 2"),
        (
            json!({"mediaType": "application/vnd.oci.image.index.v1+json"}),
            "the manifest has the media type 'application/vnd.oci.image.index.v1+json', expected that of an image's manifest",
        ),
        (json!({"manifests": []}), "the manifest has the field of an index (manifests)"),
        (json!({"layers": [{"digest": "../x", "size": 1}]}), "layer 1: '../x' is not a digest: "),
        (
            json!({"layers": [{"digest": hex("ab"), "size": -1}]}),
            "the manifest cannot be understood: invalid value: integer `-1`",
        ),
        (
            json!({"layers": [{"digest": hex("ab")}]}),
            "the manifest cannot be understood: missing field `size`",
        ),
        (
            json!({"config": {"digest": format!("blake3:{}", "ab".repeat(32)), "size": 1}}),
            "the config: digest algorithm 'blake3' is not supported, only sha256",
        ),
        (json!({"config": null}), "the manifest cannot be understood: "),
    ] {
        let error = manifest(change).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    let index =
        |text: &str| Index::parse(text.as_bytes(), "index.json").map_err(|problem| problem.to_string());
    assert_eq!(index("{}").unwrap().manifests.len(), 0);
    assert_eq!(index(r#"{"manifests":null}"#).unwrap().manifests.len(), 0);
    for (text, message) in [
        (r#"{"manifests":[],"layers":[]}"#, "index.json is an index and has the fields of a manifest"),
        (
            r#"{"mediaType":"text/plain"}"#,
            "index.json has the media type 'text/plain', expected that of an index",
        ),
        (
            r#"{"manifests":[{"digest":"sha256:ab","size":1}]}"#,
            "a manifest in index.json: 'sha256:ab' is not a digest",
        ),
        ("null", "index.json cannot be understood"),
        ("\u{feff}{}", "index.json cannot be understood: it is not JSON"),
    ] {
        let error = index(text).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    // Nothing recurses without bound.
    assert!(index(&"[".repeat(100_000)).is_err());
}

#[test]
fn what_an_index_says_of_images() {
    let read = |descriptor: serde_json::Value| {
        let mut all = json!({"mediaType": "x", "digest": hex("ab"), "size": 1});
        all.as_object_mut().unwrap().extend(descriptor.as_object().unwrap().clone());
        Index::parse(json!({"manifests": [all]}).to_string().as_bytes(), "i").unwrap().manifests.remove(0)
    };
    let plain = read(json!({}));
    assert_eq!((plain.platform, plain.artifact, plain.ref_name), (None, false, None));
    let unknown = read(json!({"platform": {"os": "unknown", "architecture": "unknown"}}));
    assert!(unknown.artifact);
    assert!(read(json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}})).artifact);
    assert!(read(json!({"artifactType": "application/vnd.example"})).artifact);
    assert!(!read(json!({"artifactType": "application/vnd.oci.image.config.v1+json"})).artifact);
    let empty = read(json!({"platform": {"os": "", "architecture": ""}, "annotations": null}));
    assert_eq!((empty.platform, empty.artifact), (None, false));
    let named = read(json!({"annotations": {
        "org.opencontainers.image.ref.name": "1.0", "io.containerd.image.name": "docker.io/library/app:1.0", "x": null,
    }}));
    assert_eq!(named.ref_name.as_deref(), Some("1.0"));
    assert_eq!(named.image_name.as_deref(), Some("docker.io/library/app:1.0"));
}

#[test]
fn dockers_list_may_have_images_without_names() {
    let images = DockerImage::parse_all(
        br#"[{"Config":"a.json","RepoTags":null,"Layers":["a/layer.tar"],"LayerSources":{}},{"Config":"b.json","Layers":null}]"#,
    )
    .unwrap();
    assert_eq!((images[0].tags.len(), images[0].layers.len(), images[1].layers.len()), (0, 1, 0));
    for text in ["{}", "[{}]", r#"[{"Config":5}]"#, "[", r#"[{"Config":"a","Layers":"b"}]"#] {
        assert!(DockerImage::parse_all(text.as_bytes()).is_err(), "{text}");
    }
}
