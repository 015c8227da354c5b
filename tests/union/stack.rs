//! Stacks in a temporary directory, and calls as the kernel would make them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use lamina::config::{Behaviour, Durability, LowerSpec, StackSpec, UpperSpec};
use lamina::error::{Kind, Result};
use lamina::overlay::*;
use lamina::path::Name;
use tempfile::TempDir;

/// Held for writing from fork to exec: in between, the child shares the locks on the uppers of all other tests.
pub static SPAWNING: RwLock<()> = RwLock::new(());

pub struct Stack {
    pub temp: TempDir,
    pub spec: StackSpec,
    pub behaviour: Behaviour,
}

impl Stack {
    /// An upper over `lowers` layers, all empty.
    pub fn new(lowers: usize) -> Stack {
        let temp = TempDir::new().unwrap();
        Stack::in_dir(temp, lowers)
    }

    pub fn in_dir(temp: TempDir, lowers: usize) -> Stack {
        let spec = StackSpec {
            lowers: (0..lowers).map(|n| temp.path().join(format!("lower{n}")).into()).collect(),
            data_only: Vec::new(),
            upper: Some(UpperSpec { upper: temp.path().join("upper"), work: temp.path().join("work") }),
        };
        let behaviour = Behaviour { durability: Durability::None, ..Behaviour::default() };
        let stack = Stack { temp, spec, behaviour };
        for dir in stack
            .spec
            .lowers
            .iter()
            .map(LowerSpec::path)
            .chain([stack.upper().as_path(), stack.temp.path().join("work").as_path()])
        {
            std::fs::create_dir(dir).unwrap();
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        stack
    }

    /// Upper and work directory go to another file system.
    pub fn put_upper_on(&mut self, full: &Full) {
        let upper = UpperSpec { upper: full.path().join("upper"), work: full.path().join("work") };
        std::fs::create_dir(&upper.upper).unwrap();
        std::fs::create_dir(&upper.work).unwrap();
        self.spec.upper = Some(upper);
    }

    /// The lower layer number `n`, 0 on top.
    pub fn lower(&self, n: usize) -> &Path {
        self.spec.lowers[n].path()
    }

    pub fn upper(&self) -> PathBuf {
        self.spec.upper.as_ref().unwrap().upper.clone()
    }

    pub fn open(&self) -> Overlay {
        let _none = SPAWNING.read().unwrap_or_else(PoisonError::into_inner);
        // A child that was spawned just before lets go of its copies of the locks a moment after its parent goes on:
        // the kernel wakes the parent of a vfork first, and closes what is closed on exec then.
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            match Overlay::open_stack(&self.spec, &self.behaviour) {
                Err(error) if *error.kind() == Kind::InUse && Instant::now() < patience => {
                    std::thread::yield_now()
                }
                other => return other.unwrap(),
            }
        }
    }
}

pub fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

pub fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

pub fn at(dir: NodeId, text: &str) -> Place<'_> {
    Place { dir, name: name(text) }
}

pub fn caller() -> Caller {
    Caller { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw(), umask: 0o022 }
}

pub const READ: OpenMode = OpenMode { access: Access::Read, truncate: Truncate::Keep };
pub const READ_WRITE: OpenMode = OpenMode { access: Access::ReadWrite, truncate: Truncate::Keep };
pub const CHMOD: AttrChange = AttrChange { perm: Some(0o640), ..AttrChange::NONE };

/// Looks a path up from the root, as the kernel does: every node on the way keeps one lookup.
pub fn walk(overlay: &Overlay, path: &str) -> Result<Option<Entry>> {
    let attr = overlay.getattr(NodeId::ROOT)?;
    let mut here = Entry { node: NodeId::ROOT, attr };
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match overlay.lookup(here.node, name(part))? {
            Some(entry) => here = entry,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

pub fn find(overlay: &Overlay, path: &str) -> NodeId {
    walk(overlay, path).unwrap().unwrap_or_else(|| panic!("{path} does not exist")).node
}

/// Everything in a directory but the dots: name, `d_ino`.
pub fn list(overlay: &Overlay, dir: NodeId) -> Vec<(String, u64)> {
    try_list(overlay, dir).unwrap()
}

pub fn try_list(overlay: &Overlay, dir: NodeId) -> Result<Vec<(String, u64)>> {
    struct All(Vec<(String, u64)>);
    impl DirSink for All {
        fn push(&mut self, dirent: DirEntry<'_>, _: Option<&Entry>) -> SinkAnswer {
            if !matches!(dirent.name, b"." | b"..") {
                self.0.push((String::from_utf8_lossy(dirent.name).into_owned(), dirent.ino));
            }
            SinkAnswer::Taken
        }
    }
    let mut all = All(Vec::new());
    overlay.readdir(dir, 0, Listing::Names, &mut all)?;
    all.0.sort();
    Ok(all.0)
}

pub fn read_all(overlay: &Overlay, node: NodeId) -> Result<Vec<u8>> {
    let opened = overlay.open(node, READ)?;
    let mut content = vec![0; 1 << 16];
    let len = overlay.read(opened.handle, 0, &mut content);
    overlay.release(opened.handle);
    content.truncate(len?);
    Ok(content)
}

/// Opens the stack so that about 128 directories stay open. The union takes its share of the process's limit when it is
/// opened; the other tests of this process need descriptors, too, so it is put back.
pub fn open_with_few_descriptors(stack: &Stack) -> Overlay {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 512.min(hard), hard).unwrap();
    let overlay = stack.open();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    overlay
}

/// A small file system of its own, gone with its guard.
pub struct Full(TempDir);

impl Full {
    pub fn mount(options: &str) -> Option<Full> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: mounting a small tmpfs needs root");
            return None;
        }
        let dir = TempDir::new().unwrap();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, Some(options)).unwrap();
        Some(Full(dir))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Err(errno) = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH) {
            eprintln!("unmount {}: {errno}", self.0.path().display());
        }
    }
}
