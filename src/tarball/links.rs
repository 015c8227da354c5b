//! Hard links of a tar to objects of layers below.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::index::{Child, LinkBelow, What};
use super::layer::{Content, TarLayer};
use crate::error::{Error, Kind, Result};
use crate::layer::{EntryId, Found};
use crate::path::Name;
use crate::resolve::{Ask, Depth, Depths, Redirects, Resolution, Resolver, Step};

/// How many symlinks a path may go through, as in the kernel.
const MAX_SYMLINKS: usize = 40;

/// Which objects the links of one layer stand for.
#[derive(Debug, Default)]
pub(super) struct Links {
    objects: HashMap<EntryId, (Arc<Content>, EntryId)>,
    /// How many links, found here only, an object of the layer itself has beyond those its index counts.
    more_names: HashMap<EntryId, u32>,
}

/// A directory merged from layers, top first. Depth 0 is the topmost layer below.
type Merged = Vec<(Depth, EntryId)>;

impl Links {
    /// The object a link stands for, and the content of the layer that has it.
    pub fn get(&self, entry: EntryId) -> Option<(&Arc<Content>, EntryId)> {
        self.objects.get(&entry).map(|(content, object)| (content, *object))
    }

    /// How many names an object of the layer itself has that come before it in the tar, which its index does not count.
    pub fn more_names(&self, object: EntryId) -> u32 {
        self.more_names.get(&object).copied().unwrap_or(0)
    }

    /// Finds the targets of all links of a layer.
    pub fn find(content: &Arc<Content>, below: &[&TarLayer]) -> Result<Links> {
        let mut links = Links::default();
        let all = content.index.links_below()?.collect::<Result<Vec<_>>>()?;
        let entries: HashSet<EntryId> = all.iter().map(|link| link.entry).collect();
        for link in all {
            let mut found = || match target(link.target, below)? {
                Some(object) => Ok(object),
                // It may come after the link in the same tar. A link to a link that leads nowhere leads nowhere.
                None => match later(content, link.target, &entries)? {
                    Some(entry) => {
                        let more = links.more_names.entry(entry).or_default();
                        *more = more.saturating_add(1);
                        Ok((Arc::clone(content), entry))
                    }
                    None => Err(Error::new("link", Kind::Archive(missing(link)))),
                },
            };
            let object = found().map_err(|error: Error| error.at(link.path))?;
            links.objects.insert(link.entry, object);
        }
        Ok(links)
    }
}

fn missing(link: LinkBelow<'_>) -> String {
    format!("it is a hard link to '{}', which is neither in its layer nor below", link.target.escape_ascii())
}

/// The object at a path of the layer itself, where no symlink is on the way.
fn later(content: &Content, path: &[u8], links: &HashSet<EntryId>) -> Result<Option<EntryId>> {
    let is_dir = |entry: EntryId| {
        Ok::<_, Error>(!links.contains(&entry) && matches!(content.stat(entry)?.1, What::Directory { .. }))
    };
    let mut here = EntryId::ROOT;
    let mut rest = parts(path);
    while let Some(part) = rest.pop() {
        let child = match Name::new(&part) {
            Ok(name) if is_dir(here)? => content.index.find(here, name)?,
            _ => None,
        };
        let Some(Child::Entry(entry)) = child else { return Ok(None) };
        here = entry;
    }
    Ok((!links.contains(&here) && !is_dir(here)?).then_some(here))
}

/// The object at a path of the layers below; symlinks on the way are followed, within the root.
fn target(path: &[u8], below: &[&TarLayer]) -> Result<Option<(Arc<Content>, EntryId)>> {
    let mut rest: Vec<Vec<u8>> = parts(path);
    let mut way: Vec<Merged> = Vec::new();
    let root: Merged = roots(below)?;
    let (mut symlinks, mut steps) = (0, 0);
    while let Some(part) = rest.pop() {
        steps += 1;
        if part == b".." {
            // From a symlink. The root is its own parent.
            way.pop();
            continue;
        }
        // No object has a name that cannot be one.
        let Ok(name) = Name::new(&part) else { return Ok(None) };
        match look(way.last().unwrap_or(&root), name, below)? {
            Resolution::Absent(_) => return Ok(None),
            Resolution::Dir(_) if rest.is_empty() => {
                let what = "it is a hard link to a directory of a layer below".to_owned();
                return Err(Error::new("link", Kind::Archive(what)));
            }
            Resolution::Dir(dirs) => {
                way.push(
                    dirs.parts.iter().filter_map(|part| Some((part.depth, part.found.entry?))).collect(),
                );
            }
            Resolution::Leaf { meta, .. } => {
                let Some((layer, entry)) = below.get(usize::from(meta.depth.0)).zip(meta.found.entry) else {
                    return Ok(None);
                };
                if rest.is_empty() {
                    let (content, object) = layer.object(entry);
                    return Ok(Some((content.clone(), object)));
                }
                let is_symlink = meta.found.stat.mode & libc::S_IFMT == libc::S_IFLNK;
                symlinks += 1;
                if !is_symlink || symlinks > MAX_SYMLINKS || steps > MAX_STEPS {
                    return Ok(None);
                }
                let to = layer.readlink(entry)?;
                if to.starts_with(b"/") {
                    way.clear();
                }
                rest.extend(parts(to));
            }
        }
    }
    Ok(None)
}

/// How many names a path may go through with all its symlinks.
const MAX_STEPS: usize = 4096;

/// The parts of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.rsplit(|byte| *byte == b'/').filter(|part| !matches!(*part, [] | b"."));
    parts.map(<[u8]>::to_vec).collect()
}

/// The layers' roots, down to the first that hides those below it.
fn roots(below: &[&TarLayer]) -> Result<Merged> {
    let mut roots = Vec::new();
    for (depth, layer) in (0..).map(Depth).zip(below) {
        roots.push((depth, EntryId::ROOT));
        if layer.look_root()?.opaque {
            break;
        }
    }
    Ok(roots)
}

/// What a name is in a merged directory: by the same rules as in a mount.
fn look(dir: &Merged, name: Name<'_>, below: &[&TarLayer]) -> Result<Resolution> {
    let parent: Vec<Depth> = dir.iter().map(|(depth, _)| *depth).collect();
    let ordinary = u16::try_from(below.len()).unwrap_or(u16::MAX);
    let depths = Depths { ordinary, data_only: 0 };
    let mut resolver = Resolver::new(&parent, 0, name, depths, Redirects::Refuse);
    loop {
        match resolver.step()? {
            Step::Done(resolution) => return Ok(resolution),
            Step::Ask(Ask::InPart { part, name }) => {
                let place = dir
                    .get(part)
                    .and_then(|(depth, entry)| below.get(usize::from(depth.0)).map(|layer| (layer, *entry)));
                resolver.answer(match place {
                    Some((layer, entry)) => layer.look(entry, name.as_name())?,
                    None => Found::Absent,
                });
            }
            // Only redirects ask by path, and a tar has none.
            Step::Ask(Ask::AtPath { .. }) => resolver.answer(Found::Absent),
        }
    }
}
