//! A tar by hand: what no ordinary program would write, too.

use tar::{EntryType, Header};

/// A tar that grows.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Tar::default()
    }

    /// A GNU header, as `change` leaves it, and data.
    pub fn entry(mut self, kind: u8, name: &[u8], data: &[u8], change: impl FnOnce(&mut Header)) -> Self {
        if name.len() > 100 {
            self = self.entry(b'L', b"././@LongLink", &[name, b"\0"].concat(), as_it_is);
        }
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_entry_type(EntryType::new(kind));
        for (to, from) in header.as_old_mut().name.iter_mut().zip(name) {
            *to = *from;
        }
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.data(data)
    }

    /// Bytes, padded to whole blocks.
    pub fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), data, |_| {})
    }

    pub fn dir(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", |header| header.set_mode(0o700))
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.target(b'2', name, target)
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.target(b'1', name, target)
    }

    fn target(mut self, kind: u8, name: &str, target: &str) -> Self {
        if target.len() > 100 {
            self = self.entry(b'K', b"././@LongLink", format!("{target}\0").as_bytes(), |_| {});
        }
        self.entry(kind, name.as_bytes(), b"", |header| {
            for (to, from) in header.as_old_mut().linkname.iter_mut().zip(target.bytes()) {
                *to = from;
            }
        })
    }

    pub fn device(self, kind: u8, name: &str, major: u32, minor: u32) -> Self {
        self.entry(kind, name.as_bytes(), b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// PAX records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.entry(b'x', b"PaxHeaders/x", &pax_records(records), |_| {})
    }

    /// With the two blocks of zeros that end a tar.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn as_it_is(_: &mut Header) {}

pub fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let mut len = body.len() + 1;
        while len.to_string().len() + body.len() != len {
            len += 1;
        }
        bytes.extend_from_slice(len.to_string().as_bytes());
        bytes.extend_from_slice(&body);
    }
    bytes
}
