//! Layers to stack: written directly, markers and all, or left behind by the kernel's overlay as somebody's upper.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::exec::Side;
use crate::generate::{Generator, ROOT};
use crate::mounts::{Dirs, Engine, Mount};
use crate::op::{Op, Who};
use crate::view::View;

/// How one layer is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub maker: Maker,
    pub ops: Vec<(Who, Op)>,
}

/// Who writes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The operations are done in the layer's own directory.
    Direct,
    /// The operations are done through the kernel's overlay, over the layers below; its upper is the layer.
    Kernel,
}

/// Where the operations of a layer come from.
pub enum Recipe<'a> {
    Replay(&'a Layer),
    Generate(&'a mut Generator),
}

/// Makes the layer `number` (1 is the base) in `place`, over `below` (top first), and tells how it was made.
pub fn build(
    recipe: Recipe<'_>,
    number: usize,
    below: &[PathBuf],
    place: &Path,
) -> Result<(PathBuf, Layer), String> {
    let dir = make_dir(place, &format!("layer{number}"))?;
    match recipe {
        Recipe::Replay(layer) if layer.maker == Maker::Kernel && !below.is_empty() => {
            through_kernel(place, &dir, number, below, |side| {
                for (who, op) in &layer.ops {
                    side.perform(*who, op);
                }
                Ok(layer.clone())
            })
        }
        Recipe::Replay(layer) => {
            perform_all(&dir, &layer.ops);
            Ok(layer.clone())
        }
        Recipe::Generate(generator) => {
            if number > 1 && generator.rng.percent(55) {
                let count = 15 + generator.rng.below(45);
                through_kernel(place, &dir, number, below, |side| {
                    let mut ops = Vec::new();
                    for _ in 0..count {
                        let view = side.within(|_| View::look()).map_err(|errno| errno.to_string())?;
                        let (who, op) = generator.step(&view);
                        side.perform(who, &op);
                        ops.push((who, op));
                    }
                    generator.forget_slots();
                    Ok(Layer { maker: Maker::Kernel, ops })
                })
            } else {
                let mut known = View::default();
                for layer in below {
                    let view = crate::place::within(layer, View::look).map_err(|errno| errno.to_string())?;
                    known.dirs.extend(view.dirs);
                    known.files.extend(view.files);
                    known.others.extend(view.others);
                }
                let ops = directly(generator, number, &known);
                perform_all(&dir, &ops);
                Ok(Layer { maker: Maker::Direct, ops })
            }
        }
    }
    .map(|layer| (dir, layer))
}

/// A new directory, `name` in `place`.
pub fn make_dir(place: &Path, name: &str) -> Result<PathBuf, String> {
    let dir = place.join(name);
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir)
}

fn perform_all(dir: &Path, ops: &[(Who, Op)]) {
    let mut side = Side::bare(dir);
    for (who, op) in ops {
        // Some fail, as where a parent turned out to be a file: the layer is what comes of it.
        side.perform(*who, op);
    }
}

fn through_kernel(
    place: &Path,
    upper: &Path,
    number: usize,
    below: &[PathBuf],
    act: impl FnOnce(&mut Side) -> Result<Layer, String>,
) -> Result<Layer, String> {
    let work = make_dir(place, &format!("work{number}"))?;
    let at = make_dir(place, &format!("build{number}"))?;
    let dirs = Dirs { lowers: below.to_vec(), upper: Some((upper.to_owned(), work)) };
    let nobody = Arc::new(AtomicU32::new(0));
    let mut side = Side::new(Mount::new(&Engine::reference(), &dirs, &at, Path::new("/dev/null"), &nobody)?);
    let layer = act(&mut side)?;
    side.unmount()?;
    Ok(layer)
}

/// A layer as somebody may have written it by hand or from an archive, by chance over the names of those below.
fn directly(generator: &mut Generator, number: usize, known: &View) -> Vec<(Who, Op)> {
    let mut ops = Vec::new();
    let mut made: Vec<PathBuf> = Vec::new();
    let xattr_whiteouts = number > 1 && generator.rng.percent(25);
    if xattr_whiteouts {
        // The kernel looks for whiteouts by xattr only in a layer whose root says that it has some.
        ops.push(mark("/".into(), "trusted.overlay.opaque", b"x"));
    }
    if number > 1 && generator.rng.percent(35) {
        redirect(generator, known, &mut ops);
    }
    for _ in 0..12 + generator.rng.below(30) {
        let path = place_for(generator, known, &made);
        parents(&path, &mut ops);
        let before = ops.len();
        entry(generator, number, xattr_whiteouts, &made, &path, &mut ops);
        // A link to a whiteout by xattr would be one in a directory that may not say that it has some.
        if !ops[before..].iter().any(is_xattr_whiteout) {
            made.push(path);
        }
    }
    // Last, since everything above touches the times of directories.
    for path in &made {
        if generator.rng.percent(70) {
            let (atime, mtime) = (generator.old_time(), generator.old_time());
            ops.push(Op::Utimens { path: path.clone(), atime, mtime });
        }
    }
    ops.into_iter().map(|op| (Who { umask: 0, ..ROOT }, op)).collect()
}

fn place_for(generator: &mut Generator, known: &View, made: &[PathBuf]) -> PathBuf {
    let exact: Vec<&PathBuf> = known
        .dirs
        .iter()
        .chain(&known.files)
        .chain(&known.others)
        .filter(|path| path.parent().is_some())
        .collect();
    if !exact.is_empty() && generator.rng.percent(45) {
        return (*generator.rng.pick(&exact)).clone();
    }
    let mut dir = if !known.dirs.is_empty() && generator.rng.percent(50) {
        generator.rng.pick(&known.dirs).clone()
    } else if !made.is_empty() && generator.rng.percent(60) {
        generator.rng.pick(made).clone()
    } else {
        PathBuf::from("/")
    };
    if dir.components().count() > 4 {
        dir = "/".into();
    }
    dir.join(generator.name())
}

fn is_xattr_whiteout(op: &Op) -> bool {
    matches!(op, Op::Setxattr { name, .. } if name == "trusted.overlay.whiteout")
}

/// The directories above `path`; those that exist stay as they are.
fn parents(path: &Path, ops: &mut Vec<Op>) {
    let mut parents: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    parents.pop();
    ops.extend(parents.into_iter().rev().map(|path| Op::Mkdir { path, mode: 0o755 }));
}

/// A directory that was renamed: redirected to where it was, and a whiteout there. Without that, two directories of the
/// union would be one directory below, which the kernel's overlay answers with ESTALE now and then: no such layer is
/// ever written by an overlay.
fn redirect(generator: &mut Generator, known: &View, ops: &mut Vec<Op>) {
    let below: Vec<&PathBuf> = known.dirs.iter().filter(|path| path.parent().is_some()).collect();
    if below.is_empty() {
        return;
    }
    let old = (*generator.rng.pick(&below)).clone();
    let (Some(name), Some(parent)) = (old.file_name(), old.parent()) else { return };
    let (new, value) = if generator.rng.percent(40) {
        (parent.join(generator.name()), PathBuf::from(name))
    } else {
        (place_for(generator, known, &[]), old.clone())
    };
    if new.starts_with(&old) || old.starts_with(&new) {
        return;
    }
    parents(&new, ops);
    ops.push(Op::Mkdir { path: new.clone(), mode: generator.mode() });
    ops.push(mark(new, "trusted.overlay.redirect", value.as_os_str().as_encoded_bytes()));
    parents(&old, ops);
    ops.push(Op::Mknod { path: old, mode: libc::S_IFCHR, rdev: (0, 0) });
}

fn mark(path: PathBuf, name: &str, value: &[u8]) -> Op {
    Op::Setxattr { path, name: name.to_owned(), value: value.to_vec(), flags: 0 }
}

fn entry(
    generator: &mut Generator,
    number: usize,
    xattr_whiteouts: bool,
    made: &[PathBuf],
    path: &Path,
    ops: &mut Vec<Op>,
) {
    let path = path.to_owned();
    match generator.rng.below(100) {
        0..=33 => ops.push(generator.create(path.clone())),
        34..=57 => ops.push(Op::Mkdir { path: path.clone(), mode: generator.mode() }),
        58..=62 => {
            let target = PathBuf::from(generator.name());
            ops.push(Op::Symlink { target, path: path.clone() });
        }
        63..=67 => {
            let (mode, rdev) = generator.special();
            ops.push(Op::Mknod { path: path.clone(), mode, rdev });
        }
        68..=75 if !made.is_empty() => {
            ops.push(Op::Link { from: generator.rng.pick(made).clone(), to: path.clone() });
        }
        76..=85 if number > 1 && xattr_whiteouts && path.parent() != Some(Path::new("/")) => {
            if let Some(parent) = path.parent() {
                ops.push(mark(parent.to_owned(), "trusted.overlay.opaque", b"x"));
            }
            ops.push(Op::Create { path: path.clone(), mode: 0, parts: Vec::new(), len: 0, fill: 0 });
            ops.push(mark(path, "trusted.overlay.whiteout", b""));
            return;
        }
        76..=87 if number > 1 => {
            ops.push(Op::Mknod { path, mode: libc::S_IFCHR, rdev: (0, 0) });
            return;
        }
        88..=93 if number > 1 && !xattr_whiteouts => {
            ops.push(Op::Mkdir { path: path.clone(), mode: generator.mode() });
            ops.push(mark(path.clone(), "trusted.overlay.opaque", b"y"));
        }
        _ => ops.push(generator.create(path.clone())),
    }
    if generator.rng.percent(40) {
        let (uid, gid) =
            (Some(*generator.rng.pick(&[0, 1000, 1001])), Some(*generator.rng.pick(&[0, 1000, 2000])));
        ops.push(Op::Chown { path: path.clone(), uid, gid });
        // After the chown, which clears suid and sgid.
        let mode = generator.mode();
        ops.push(Op::Chmod { path: path.clone(), mode });
    }
    while generator.rng.percent(25) {
        let (name, value) = generator.xattr();
        if !name.starts_with("trusted.overlay.") {
            ops.push(Op::Setxattr { path: path.clone(), name, value, flags: 0 });
        }
    }
}
