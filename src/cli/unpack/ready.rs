//! What is printed at the end: what to mount, and how.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::cli::shell::quoted;
use crate::config::Namespace;
use crate::unpack::{Deletions, Form, OpaqueMarks, Owners};

/// Layers that can be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The layers' directories, top first.
    pub top_first: Vec<PathBuf>,
    /// In which form they are.
    pub form: Form,
}

impl Ready {
    /// `lowerdir=TOP:...:BASE`, ended by a line feed: as mount(8) takes it.
    pub fn lowerdir_line(&self) -> Vec<u8> {
        [b"lowerdir=".as_slice(), &self.list(), b"\n"].concat()
    }

    /// The paths with colons between them. A backslash stands before what would mean something.
    fn list(&self) -> Vec<u8> {
        let escaped = |path: &PathBuf| {
            let mut escaped = Vec::new();
            for &byte in path.as_os_str().as_bytes() {
                if matches!(byte, b':' | b',' | b'\\') {
                    escaped.push(b'\\');
                }
                escaped.push(byte);
            }
            escaped
        };
        self.top_first.iter().map(escaped).collect::<Vec<_>>().join(&b':')
    }

    /// Commands that mount them, for people.
    pub fn commands(&self) -> String {
        let list = self.list();
        let all = quoted(&[b"overlay:".as_slice(), &list].concat());
        let mut text = format!("To look at it:\n  lamina mount {all} MOUNTPOINT\n");
        if let Some(options) = self.kernel_options() {
            // Short where it is long: what the kernel takes at once is limited, in its newer interface to 256 bytes.
            let (cd, list) = match self.names_in_one_directory() {
                Some((dir, names)) if list.len() > 200 => (format!("cd {} && ", quoted(dir)), names),
                _ => (String::new(), list),
            };
            let options = quoted(&[options.as_bytes(), b"lowerdir=", &list].concat());
            text.push_str(&format!("or, as root:\n  {cd}mount -t overlay overlay -o {options} MOUNTPOINT\n"));
        }
        text
    }

    /// The directory that the layers are in, and their names there, top first, with colons between them.
    fn names_in_one_directory(&self) -> Option<(&[u8], Vec<u8>)> {
        let dir = self.top_first.first()?.parent()?;
        let name = |path: &PathBuf| {
            let name = path.strip_prefix(dir).ok()?.to_str()?;
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            plain.then(|| name.as_bytes().to_owned())
        };
        let names: Option<Vec<Vec<u8>>> = self.top_first.iter().map(name).collect();
        Some((dir.as_os_str().as_bytes(), names?.join(&b':')))
    }

    /// The options beside `lowerdir=` with which the kernel's overlay mounts them as they are; `None` where it cannot: it
    /// knows neither `.wh.` files nor recorded owners, and takes no single layer.
    fn kernel_options(&self) -> Option<&'static str> {
        if self.form.owners == Owners::Recorded || self.top_first.len() < 2 {
            return None;
        }
        match (self.form.deletions, self.form.opaque) {
            (Deletions::OciFile, _) | (_, OpaqueMarks::OciFile) => None,
            (_, OpaqueMarks::Attribute(Namespace::Trusted)) => Some(""),
            (_, OpaqueMarks::Attribute(Namespace::User)) => Some("userxattr,"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LayerList;
    use crate::unpack::Product;

    fn ready(paths: &[&str], owners: Owners, namespace: Namespace) -> Ready {
        let opaque = OpaqueMarks::Attribute(namespace);
        Ready {
            top_first: paths.iter().map(PathBuf::from).collect(),
            form: Form { product: Product::Layers, owners, deletions: Deletions::Device, opaque },
        }
    }

    #[test]
    fn the_line_is_read_as_the_paths_it_was_made_of() {
        let paths = [r"/a:b/2\-x", "/a:b/1,x"];
        let ready = ready(&paths, Owners::Exact, Namespace::Trusted);
        assert_eq!(ready.lowerdir_line(), b"lowerdir=/a\\:b/2\\\\-x:/a\\:b/1\\,x\n");
        assert_eq!(LayerList::parse(&ready.list()).unwrap().lowers, ready.top_first);
    }

    #[test]
    fn the_kernel_is_named_where_it_can_mount_them() {
        let both = ["/d/2", "/d/1"];
        assert_eq!(
            ready(&both, Owners::Exact, Namespace::Trusted).commands(),
            "To look at it:\n  lamina mount overlay:/d/2:/d/1 MOUNTPOINT\n\
             or, as root:\n  mount -t overlay overlay -o lowerdir=/d/2:/d/1 MOUNTPOINT\n"
        );
        let user = ready(&both, Owners::Exact, Namespace::User).commands();
        assert!(user.contains("-o userxattr,lowerdir=/d/2:/d/1 "), "{user}");
        assert!(!ready(&both, Owners::Recorded, Namespace::User).commands().contains("mount -t"));
        assert!(!ready(&both[..1], Owners::Exact, Namespace::Trusted).commands().contains("mount -t"));
        let dir = format!("/{}", "d".repeat(100));
        let long = ready(&[&format!("{dir}/2-x"), &format!("{dir}/1-y")], Owners::Exact, Namespace::Trusted);
        let command = format!("\n  cd {dir} && mount -t overlay overlay -o lowerdir=2-x:1-y MOUNTPOINT\n");
        assert!(long.commands().contains(&command), "{}", long.commands());
        let spaced = ready(&["/a b"], Owners::Exact, Namespace::Trusted).commands();
        assert!(spaced.contains("lamina mount 'overlay:/a b' MOUNTPOINT"), "{spaced}");
        assert_eq!(quoted(b"o\xff'\n"), r"$'o\377\'\012'");
    }
}
