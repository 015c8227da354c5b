//! What is to be done to an object so that it says the same in another form. Pure.

use std::ffi::CStr;
use std::fmt;

use crate::check::facts::{Beside, Facts, Kind, NameSays};
use crate::config::Namespace;
use crate::marker::{FUSE_OVERLAYFS_OPAQUE, Marker, OciName, OpaqueMark, Spelled, YES, oci_whiteout};
use crate::path::{Name, NameBuf};

/// A form of an upper on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Whiteout devices, and markers in `trusted.overlay.`: what the kernel's overlay writes as root
    Kernel,
    /// Whiteout files `.wh.NAME` and `.wh..wh..opq`: what layers of images have
    Oci,
    /// Whiteout devices, and markers in `user.overlay.`: what is written without root (userxattr)
    User,
}

impl Form {
    /// The namespace of its markers; `None` for the form without.
    pub fn namespace(self) -> Option<Namespace> {
        match self {
            Form::Kernel => Some(Namespace::Trusted),
            Form::User => Some(Namespace::User),
            Form::Oci => None,
        }
    }
}

/// How a deletion is written in the new form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteout {
    /// A character device 0:0.
    Device,
    /// An empty file with the whiteout attribute, in a directory that is marked to have such.
    Attribute(Namespace),
    /// A file `.wh.NAME`.
    Name,
}

/// What is converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct To {
    /// The form.
    pub form: Form,
    /// How deletions are written in it, here.
    pub whiteout: Whiteout,
}

/// Does the directory of an object hide what is below it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    /// It does: a whiteout in it hides nothing.
    Opaque,
    /// It does not, or is the root.
    Merged,
}

/// One change on disk. In each state between them the union shows the same, and what is left can be done later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An attribute of the object is written.
    SetMarker(&'static CStr, Vec<u8>),
    /// An attribute of the object is removed.
    RemoveMarker(&'static CStr),
    /// The object is a directory: a file in it makes it opaque.
    MakeOpaqueFile,
    /// The directory of the object is marked to have whiteouts by attribute.
    Announce(&'static CStr),
    /// A whiteout takes this name in the object's directory, and the place of what has it.
    PutWhiteout(NameBuf),
    /// This directory, beside the object, is marked opaque.
    SetOpaqueBeside(&'static CStr, NameBuf),
    /// The object's name goes.
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetMarker(name, value) => {
                write!(f, "set {} to \"{}\"", name.to_string_lossy(), value.escape_ascii())
            }
            Step::RemoveMarker(name) => write!(f, "remove {}", name.to_string_lossy()),
            Step::MakeOpaqueFile => f.write_str("make it opaque by a file in it"),
            Step::Announce(name) => write!(f, "set {} of its directory to \"x\"", name.to_string_lossy()),
            Step::PutWhiteout(name) => write!(f, "make the whiteout {name}"),
            Step::SetOpaqueBeside(marker, name) => {
                write!(f, "set {} of {name} to \"y\"", marker.to_string_lossy())
            }
            Step::Remove => f.write_str("remove it"),
        }
    }
}

/// Why an object cannot be said in the new form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Blocked {
    #[error("a renamed directory goes on elsewhere in the layers below, which .wh. files cannot say")]
    Redirect,
    #[error("only its metadata are here, which .wh. files cannot say")]
    Metacopy,
    #[error("an ordinary name that begins with .wh. would be a whiteout")]
    Literal,
    #[error("its name is too long for a whiteout file")]
    NameTooLong,
    #[error("a .wh. file with data: it may be more than a whiteout")]
    HoldsData,
    #[error("AUFS or a damaged layer left it, and other overlays would show it")]
    Nobodys,
    #[error("a marker that nobody knows")]
    Unknown,
    #[error("its opaque mark is neither y nor x")]
    BadOpaque,
    #[error("its link count cannot be noted in user. attributes")]
    Nlink,
}

/// What is to be done to an object before what is in it is looked at. The order holds: what is new comes first.
///
/// # Errors
/// It cannot be said in the new form.
pub fn object(facts: &Facts, name: Option<Name<'_>>, parent: In, to: To) -> Result<Vec<Step>, Blocked> {
    if facts.markers.iter().any(|marked| matches!(marked.what, Spelled::Unknown(_))) {
        return Err(Blocked::Unknown);
    }
    if facts.marker(Marker::Opaque).is_some() && facts.opaque().is_none() {
        return Err(Blocked::BadOpaque);
    }
    let Some(name) = name else { return root(facts, to) };
    match facts.name {
        NameSays::Ordinary => {}
        NameSays::Nobodys if to.form == Form::Oci => return Ok(Vec::new()),
        // fuse-overlayfs marks opaque directories by it, too, and by an attribute that has become another.
        NameSays::Nobodys if facts.kind == Kind::Whiteout => return Ok(vec![Step::Remove]),
        NameSays::Nobodys => return Err(Blocked::Nobodys),
        NameSays::Whiteout(_) | NameSays::Opaque if to.form == Form::Oci => return Ok(Vec::new()),
        NameSays::Whiteout(_) | NameSays::Opaque if facts.kind != (Kind::Regular { size: 0 }) => {
            return Err(Blocked::HoldsData);
        }
        // The directory itself was marked before.
        NameSays::Opaque => return Ok(vec![Step::Remove]),
        NameSays::Whiteout(beside) => return Ok(oci(name, beside, parent, to)),
    }
    if facts.kind == Kind::Whiteout || facts.is_xwhiteout() {
        return whiteout(facts, name, parent, to);
    }
    match to.form.namespace() {
        Some(namespace) => markers(facts, namespace),
        None => without_markers(facts, name),
    }
}

/// The root is never opaque, and nothing is beside it.
fn root(facts: &Facts, to: To) -> Result<Vec<Step>, Blocked> {
    to.form.namespace().map_or(Ok(Vec::new()), |namespace| markers(facts, namespace))
}

/// What is to be done to a directory that a file in it makes opaque.
pub fn opaque_by_name(facts: &Facts, to: To) -> Vec<Step> {
    match to.form.namespace() {
        Some(namespace) if facts.opaque() != Some(OpaqueMark::Opaque) => {
            vec![Step::SetMarker(Marker::Opaque.xattr(namespace), OpaqueMark::Opaque.encode().to_vec())]
        }
        Some(_) | None => Vec::new(),
    }
}

/// What is to be done to a renamed directory that has all its content with it.
pub fn sealed(facts: &Facts) -> Vec<Step> {
    let redirects = facts.namespaces_of(Marker::Redirect).into_iter();
    let remove = redirects.map(|namespace| Step::RemoveMarker(Marker::Redirect.xattr(namespace)));
    std::iter::once(Step::MakeOpaqueFile).chain(remove).collect()
}

/// What is to be done to an entry of the index of hard links, and to the index itself: only its attributes matter.
///
/// # Errors
/// It cannot be said in the new form.
pub fn index_entry(facts: &Facts, to: To) -> Result<Vec<Step>, Blocked> {
    match to.form.namespace() {
        Some(namespace) if facts.kind != Kind::Whiteout => markers(facts, namespace),
        Some(_) | None => Ok(Vec::new()),
    }
}

/// What is to be done to a directory once all that is in it has its new form.
pub fn directory_done(facts: &Facts, to: To) -> Vec<Step> {
    if matches!(to.whiteout, Whiteout::Attribute(_)) || facts.opaque() != Some(OpaqueMark::XWhiteouts) {
        return Vec::new();
    }
    let spelled = |namespace| Step::RemoveMarker(Marker::Opaque.xattr(namespace));
    match to.form.namespace() {
        Some(namespace) => vec![spelled(namespace)],
        None => facts.namespaces_of(Marker::Opaque).into_iter().map(spelled).collect(),
    }
}

/// A `.wh.` file becomes a whiteout of another form.
fn oci(name: Name<'_>, beside: Beside, parent: In, to: To) -> Vec<Step> {
    let (OciName::Whiteout(hidden), Some(namespace)) = (OciName::of(name), to.form.namespace()) else {
        return Vec::new();
    };
    match (beside, parent) {
        (Beside::Nothing, In::Merged) => {
            let mut steps = put(hidden, to);
            steps.push(Step::Remove);
            steps
        }
        // It hides what the directory beside it would show of the layers below.
        (Beside::Directory, _) => {
            vec![Step::SetOpaqueBeside(Marker::Opaque.xattr(namespace), hidden.to_owned()), Step::Remove]
        }
        (Beside::Nothing, In::Opaque) | (Beside::Whiteout | Beside::Other, _) => vec![Step::Remove],
    }
}

fn put(name: Name<'_>, to: To) -> Vec<Step> {
    let put = Step::PutWhiteout(name.to_owned());
    match to.whiteout {
        Whiteout::Attribute(namespace) => vec![Step::Announce(Marker::Opaque.xattr(namespace)), put],
        Whiteout::Device | Whiteout::Name => vec![put],
    }
}

/// A whiteout that has the name itself.
fn whiteout(facts: &Facts, name: Name<'_>, parent: In, to: To) -> Result<Vec<Step>, Blocked> {
    let is_device = facts.kind == Kind::Whiteout;
    match to.whiteout {
        // In an opaque directory it hides nothing, and could not be said.
        Whiteout::Attribute(_) | Whiteout::Device if parent == In::Opaque && !is_device => {
            Ok(vec![Step::Remove])
        }
        Whiteout::Attribute(_) if parent == In::Opaque => Ok(vec![Step::Remove]),
        Whiteout::Attribute(namespace) if facts.namespaces_of(Marker::Whiteout) != [namespace] => {
            Ok(put(name, to))
        }
        Whiteout::Attribute(namespace) => Ok(vec![Step::Announce(Marker::Opaque.xattr(namespace))]),
        Whiteout::Device if is_device => Ok(Vec::new()),
        Whiteout::Device => Ok(put(name, to)),
        Whiteout::Name => {
            let mark = oci_whiteout(name).map_err(|kind| match kind {
                crate::error::Kind::NameTooLong => Blocked::NameTooLong,
                _ => Blocked::Literal,
            })?;
            Ok(vec![Step::PutWhiteout(mark), Step::Remove])
        }
    }
}

/// The markers go into one namespace. Where both have one, `trusted.` counts, as when they are read.
fn markers(facts: &Facts, to: Namespace) -> Result<Vec<Step>, Blocked> {
    // `user.` attributes exist on regular files and directories only.
    let takes = to == Namespace::Trusted || matches!(facts.kind, Kind::Directory | Kind::Regular { .. });
    let mut steps = Vec::new();
    for marked in &facts.markers {
        let (Some(from), Some(new)) = (marked.what.namespace(), marked.what.in_namespace(to)) else {
            continue;
        };
        let Some(old) = marked.what.in_namespace(from).filter(|_| from != to) else { continue };
        if !takes && matches!(marked.what, Spelled::Marker(_, Marker::Nlink)) {
            return Err(Blocked::Nlink);
        }
        let there = facts
            .markers
            .iter()
            .find(|m| m.what.in_namespace(to) == Some(new) && m.what.namespace() == Some(to));
        let counts = there.is_none_or(|there| from == Namespace::Trusted && there.value != marked.value);
        if takes && counts {
            steps.push(Step::SetMarker(new, marked.value.clone()));
        }
        steps.push(Step::RemoveMarker(old));
    }
    if facts.markers.iter().any(|marked| marked.what == Spelled::FuseOverlayfsOpaque) {
        if facts.marker(Marker::Opaque).is_none() && facts.opaque() == Some(OpaqueMark::Opaque) {
            steps.push(Step::SetMarker(Marker::Opaque.xattr(to), YES.to_vec()));
        }
        steps.push(Step::RemoveMarker(FUSE_OVERLAYFS_OPAQUE));
    }
    Ok(steps)
}

/// What attributes say is said by names. What only keeps inode numbers and link counts stays as it is.
fn without_markers(facts: &Facts, name: Name<'_>) -> Result<Vec<Step>, Blocked> {
    let is_oci_name = !matches!(OciName::of(name), OciName::Plain(_));
    if is_oci_name && matches!(facts.kind, Kind::Regular { .. }) {
        return Err(Blocked::Literal);
    }
    if facts.marker(Marker::Metacopy).is_some() {
        return Err(Blocked::Metacopy);
    }
    if facts.kind != Kind::Directory {
        return Ok(Vec::new());
    }
    if facts.marker(Marker::Redirect).is_some() && facts.opaque() != Some(OpaqueMark::Opaque) {
        return Err(Blocked::Redirect);
    }
    if facts.opaque() != Some(OpaqueMark::Opaque) {
        return Ok(Vec::new());
    }
    let mut steps = vec![Step::MakeOpaqueFile];
    steps.extend(
        facts
            .namespaces_of(Marker::Redirect)
            .into_iter()
            .map(|ns| Step::RemoveMarker(Marker::Redirect.xattr(ns))),
    );
    steps.extend(
        facts
            .namespaces_of(Marker::Opaque)
            .into_iter()
            .map(|ns| Step::RemoveMarker(Marker::Opaque.xattr(ns))),
    );
    if facts.markers.iter().any(|marked| marked.what == Spelled::FuseOverlayfsOpaque) {
        steps.push(Step::RemoveMarker(FUSE_OVERLAYFS_OPAQUE));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
