//! From a reference to an image: what a path is, and who reads it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::archive::Archive;
use super::error::{ImageError, Problem};
use super::files::Files;
use super::reference::ImageRef;
use super::{Image, Select, docker, layout, skopeo, storage};

/// What an image is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory with an OCI layout.
    OciLayout,
    /// A tar of an OCI layout.
    OciArchive,
    /// What `docker save` and `podman save` write.
    DockerArchive,
    /// What `skopeo copy` writes to `dir:DIR`.
    SkopeoDirectory,
}

/// What a path is, by its content: a directory with `oci-layout` is a layout, one with `manifest.json` and
/// skopeo's `version` is skopeo's. A tar with `oci-layout` and `index.json` is an
/// OCI archive, also where it is a docker-archive as well (docker 25 and later write both): the layout has digests of all its
/// documents and layers, and as many names. `None`: a directory that is no image.
///
/// # Errors
/// There is no such path; or it is anything else than a directory, and not an image.
pub fn detect(path: &Path) -> Result<Option<Format>, ImageError> {
    detect_format(path).map_err(|problem| named(problem.into(), &path.display().to_string()))
}

fn detect_format(path: &Path) -> Result<Option<Format>, Problem> {
    let metadata = fs::metadata(path).map_err(|error| Problem::io("open", path, &error))?;
    if metadata.is_dir() {
        if path.join("oci-layout").symlink_metadata().is_ok() {
            return Ok(Some(Format::OciLayout));
        }
        return Ok(skopeo::is_one(path).then_some(Format::SkopeoDirectory));
    }
    format_of(&Archive::open(path)?).map(Some)
}

fn format_of(archive: &Archive) -> Result<Format, Problem> {
    if archive.has("oci-layout") && archive.has("index.json") {
        return Ok(Format::OciArchive);
    }
    if archive.has(docker::MANIFEST) || archive.has("repositories") {
        return Ok(Format::DockerArchive);
    }
    Err(Problem::NotAnImage(format!("it is a tar that has neither 'index.json' nor '{}'", docker::MANIFEST)))
}

/// Opens an image. Its documents are read and verified; its layers are found, and not read.
///
/// # Errors
/// Whatever is wrong with the image, or with the choice among several: it names the image and what to do.
pub fn open(reference: &ImageRef, select: &Select) -> Result<Image, ImageError> {
    let name = reference.to_string();
    let open = || {
        let image = open_named(reference, select, &name)?;
        Ok(Image { place: place(reference, select)?.to_string(), ..image })
    };
    open().map_err(|error| named(error, &name))
}

/// The reference from any directory, with the tag that was given beside it, as far as a word can hold both.
fn place(reference: &ImageRef, select: &Select) -> Result<ImageRef, Problem> {
    let reference = reference.absolute().map_err(|(path, error)| Problem::io("find", &path, &error))?;
    let (ImageRef::Path(path), Some(tag)) = (&reference, &select.tag) else { return Ok(reference) };
    if path.as_os_str().as_bytes().contains(&b':') {
        return Ok(reference);
    }
    Ok(match detect_format(path)? {
        Some(Format::OciLayout) => ImageRef::OciLayout { dir: path.clone(), tag: Some(tag.clone()) },
        Some(Format::OciArchive) => ImageRef::OciArchive { file: path.clone(), tag: Some(tag.clone()) },
        Some(Format::DockerArchive) => {
            ImageRef::DockerArchive { file: path.clone(), reference: Some(tag.clone()) }
        }
        Some(Format::SkopeoDirectory) | None => reference,
    })
}

fn open_named(reference: &ImageRef, select: &Select, name: &str) -> Result<Image, ImageError> {
    let select = &Select { tag: one_tag(reference, select)?, platform: select.platform.clone() };
    match reference {
        ImageRef::Path(path) if path.is_dir() => match detect_format(path)? {
            Some(Format::SkopeoDirectory) => skopeo::open(path, name, select),
            Some(_) => layout::open(&Files::Directory(path.clone()), name, select),
            None => Err(Problem::NotAnImage("it is a directory without 'oci-layout'".to_owned()).into()),
        },
        ImageRef::Path(path) => {
            let archive = Archive::open(path)?;
            match format_of(&archive)? {
                Format::DockerArchive => docker::open(&archive, name, select),
                Format::OciArchive | Format::OciLayout | Format::SkopeoDirectory => {
                    layout::open(&Files::Archive(archive), name, select)
                }
            }
        }
        ImageRef::OciLayout { dir, .. } => {
            let metadata = fs::metadata(dir).map_err(|error| Problem::io("open", dir, &error))?;
            match metadata.is_dir() {
                true => layout::open(&Files::Directory(dir.clone()), name, select),
                false => Err(Problem::Unsupported {
                    problem: format!("'{}' is not a directory", dir.display()),
                    hint: "for an archive write oci-archive:FILE or docker-archive:FILE".to_owned(),
                }
                .into()),
            }
        }
        ImageRef::OciArchive { file, .. } => {
            layout::open(&Files::Archive(Archive::open(file)?), name, select)
        }
        ImageRef::DockerArchive { file, .. } => docker::open(&Archive::open(file)?, name, select),
        ImageRef::SkopeoDirectory { dir } => skopeo::open(dir, name, select),
        ImageRef::ContainersStorage { root, name: wanted } => {
            storage::open(root.as_deref(), wanted, name, select)
        }
    }
}

/// The tag may be part of the word, or be given beside it; both only if they are the same.
fn one_tag(reference: &ImageRef, select: &Select) -> Result<Option<String>, Problem> {
    match (reference.tag(), &select.tag) {
        (Some(word), Some(tag)) if word != tag => Err(Problem::Unsupported {
            problem: format!(
                "it is asked for with the tag '{}' and with the tag '{}'",
                word.escape_debug(),
                tag.escape_debug()
            ),
            hint: "leave one of them out".to_owned(),
        }),
        (word, tag) => Ok(word.map(str::to_owned).or_else(|| tag.clone())),
    }
}

/// Names the image, unless the error is about its very file, which it names itself.
fn named(error: ImageError, name: &str) -> ImageError {
    match error.problem() {
        Problem::Io { path, .. } if path.display().to_string() == name => error,
        _ => error.of_image(name),
    }
}
