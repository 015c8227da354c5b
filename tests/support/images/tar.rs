//! Tars, byte by byte. Source of the formats: POSIX.1-2017 pax(1) ("ustar Interchange Format", "pax Header Block"), and the
//! GNU tar manual ("Basic Tar Format", "Storing Sparse Files").

/// A tar in the making.
#[derive(Debug, Clone, Default)]
pub struct TarBuilder {
    bytes: Vec<u8>,
}

impl TarBuilder {
    pub fn new() -> Self {
        TarBuilder::default()
    }

    /// Appends an entry.
    pub fn add(mut self, entry: Entry) -> Self {
        entry.write(&mut self.bytes);
        self
    }

    /// Appends many entries.
    pub fn add_all(self, entries: impl IntoIterator<Item = Entry>) -> Self {
        entries.into_iter().fold(self, TarBuilder::add)
    }

    /// Appends bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A PAX header for all that follows (type `g`).
    pub fn global(mut self, records: &[(&str, &str)]) -> Self {
        let body: Vec<u8> = records.iter().flat_map(|(k, v)| record(k.as_bytes(), v.as_bytes())).collect();
        extension(&mut self.bytes, b'g', b"pax_global_header", &body);
        self
    }

    /// With the two zero blocks that end a tar.
    pub fn finish(self) -> Vec<u8> {
        self.finish_padded(2)
    }

    /// With as many zero blocks at the end as the caller likes; tools often pad to 20 blocks.
    pub fn finish_padded(mut self, zero_blocks: usize) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + zero_blocks * BLOCK, 0);
        self.bytes
    }

    /// Where the next entry would begin, bytes.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }
}

const BLOCK: usize = 512;

/// In which of its forms a sparse file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sparse {
    /// Type `S`, the map in the header and in blocks after it.
    Gnu,
    /// PAX 0.0: a record for each offset and each length.
    Pax00,
    /// PAX 0.1: one record with the map.
    Pax01,
    /// PAX 1.0: the map before the data.
    Pax10,
}

/// How what does not fit into a ustar header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Pax,
    Gnu,
}

/// Where a sparse file has data: offsets and lengths, bytes.
type Pieces = Vec<(u64, u64)>;

/// An entry of a tar.
#[derive(Debug, Clone)]
pub struct Entry {
    path: Vec<u8>,
    kind: u8,
    data: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: (i64, u32),
    device: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Option<(Sparse, u64, Pieces)>,
    dialect: Dialect,
    declared: Option<u64>,
    checksum: bool,
    patches: Vec<(usize, Vec<u8>)>,
}

impl Entry {
    /// Any type of entry: 0644, of 0:0, changed 1600000000.123456789.
    pub fn new(kind: u8, path: impl AsRef<[u8]>) -> Self {
        Entry {
            path: path.as_ref().to_vec(),
            kind,
            data: Vec::new(),
            link: Vec::new(),
            mode: 0o644,
            owner: (0, 0),
            mtime: (1_600_000_000, 123_456_789),
            device: (0, 0),
            xattrs: Vec::new(),
            records: Vec::new(),
            sparse: None,
            dialect: Dialect::Pax,
            declared: None,
            checksum: true,
            patches: Vec::new(),
        }
    }

    pub fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Entry { data: data.as_ref().to_vec(), ..Entry::new(b'0', path) }
    }

    /// A directory, 0755; the slash at the end of its name is added.
    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        let mut path = path.as_ref().to_vec();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        Entry::new(b'5', path).mode(0o755)
    }

    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Entry { link: target.as_ref().to_vec(), ..Entry::new(b'2', path).mode(0o777) }
    }

    pub fn hardlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Entry { link: target.as_ref().to_vec(), ..Entry::new(b'1', path) }
    }

    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Entry::new(b'6', path)
    }

    pub fn char_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::new(b'3', path) }
    }

    pub fn block_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::new(b'4', path) }
    }

    /// A whiteout: `.wh.` before the last name of the path.
    pub fn whiteout(path: &str) -> Self {
        match path.rsplit_once('/') {
            Some((dir, name)) => Entry::file(format!("{dir}/.wh.{name}"), ""),
            None => Entry::file(format!(".wh.{path}"), ""),
        }
    }

    /// The mark that a directory hides what is below it.
    pub fn opaque(dir: &str) -> Self {
        Entry::file(format!("{dir}/.wh..wh..opq"), "")
    }

    /// A file of `size` bytes that is a hole but for `pieces` (offset, data). GNU tar writes and reads whole blocks, so
    /// that only the last piece may have a length that is no multiple of 512.
    pub fn sparse(path: impl AsRef<[u8]>, form: Sparse, size: u64, pieces: &[(u64, &[u8])]) -> Self {
        let mut map: Vec<_> = pieces.iter().map(|(offset, data)| (*offset, data.len() as u64)).collect();
        // An empty piece at the end, by which GNU tar knows of the last hole.
        if map.last().is_none_or(|(offset, len)| offset + len < size) {
            map.push((size, 0));
        }
        let data = pieces.iter().flat_map(|(_, data)| data.iter().copied()).collect();
        Entry { data, sparse: Some((form, size, map)), ..Entry::new(b'0', path) }
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Seconds since 1970, and nanoseconds that count upwards.
    pub fn mtime(mut self, seconds: i64, nanoseconds: u32) -> Self {
        self.mtime = (seconds, nanoseconds);
        self
    }

    /// A record `SCHILY.xattr.NAME`.
    pub fn xattr(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.xattrs.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Any PAX record.
    pub fn record(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.records.push((key.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Long names and large numbers as GNU tar writes them, in place of PAX; no nanoseconds, no xattrs.
    pub fn gnu(mut self) -> Self {
        self.dialect = Dialect::Gnu;
        self
    }

    /// The header says this size, whatever the data is.
    pub fn declared_size(mut self, size: u64) -> Self {
        self.declared = Some(size);
        self
    }

    /// Overwrites bytes of the header; the checksum is made after it.
    pub fn patch(mut self, at: usize, bytes: &[u8]) -> Self {
        self.patches.push((at, bytes.to_vec()));
        self
    }

    /// With a checksum that is wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.checksum = false;
        self
    }

    fn write(self, out: &mut Vec<u8>) {
        let mut records = self.records.clone();
        for (name, value) in &self.xattrs {
            records.push(([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
        }
        let mut put = |key: &str, value: &[u8]| records.push((key.as_bytes().to_vec(), value.to_vec()));
        let mut body = self.data.clone();
        let mut kind = self.kind;
        let mut path = self.path.clone();
        let mut after_header = Vec::new();
        let mut gnu_sparse = None;
        if let Some((form, size, map)) = &self.sparse {
            let list = |map: &[(u64, u64)]| {
                map.iter().map(|(o, l)| format!("{o},{l}")).collect::<Vec<_>>().join(",")
            };
            match form {
                Sparse::Gnu => {
                    kind = b'S';
                    gnu_sparse = Some(*size);
                    after_header = gnu_map_blocks(map.get(4..).unwrap_or_default());
                }
                Sparse::Pax00 => {
                    put("GNU.sparse.size", size.to_string().as_bytes());
                    put("GNU.sparse.numblocks", map.len().to_string().as_bytes());
                    for (offset, len) in map {
                        put("GNU.sparse.offset", offset.to_string().as_bytes());
                        put("GNU.sparse.numbytes", len.to_string().as_bytes());
                    }
                }
                Sparse::Pax01 => {
                    put("GNU.sparse.size", size.to_string().as_bytes());
                    put("GNU.sparse.numblocks", map.len().to_string().as_bytes());
                    put("GNU.sparse.name", &path);
                    put("GNU.sparse.map", list(map).as_bytes());
                    path = [b"GNUSparseFile.1/", &path[..]].concat();
                }
                Sparse::Pax10 => {
                    put("GNU.sparse.major", b"1");
                    put("GNU.sparse.minor", b"0");
                    put("GNU.sparse.name", &path);
                    put("GNU.sparse.realsize", size.to_string().as_bytes());
                    path = [b"GNUSparseFile.1/", &path[..]].concat();
                    let mut head = format!("{}\n", map.len()).into_bytes();
                    for (offset, len) in map {
                        head.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
                    }
                    pad(&mut head);
                    body = [head, body].concat();
                }
            }
        }
        let mut header = [0u8; BLOCK];
        let pax = self.dialect == Dialect::Pax && gnu_sparse.is_none();
        let mut name =
            |field: std::ops::Range<usize>, value: &[u8], key: &str, long: u8, out: &mut Vec<u8>| {
                let fits = value.len().min(field.len());
                header[field.start..field.start + fits].copy_from_slice(&value[..fits]);
                if value.len() > field.len() {
                    if pax {
                        records.push((key.as_bytes().to_vec(), value.to_vec()));
                    } else {
                        extension(out, long, b"././@LongLink", &[value, b"\0"].concat());
                    }
                }
            };
        name(0..100, &path, "path", b'L', out);
        name(157..257, &self.link, "linkpath", b'K', out);
        let size = self.declared.unwrap_or(body.len() as u64);
        let (seconds, nanoseconds) = self.mtime;
        for (field, value, key) in [
            (100..108, i64::from(self.mode), "mode"),
            (108..116, self.owner.0 as i64, "uid"),
            (116..124, self.owner.1 as i64, "gid"),
            (124..136, size as i64, "size"),
            (136..148, seconds, "mtime"),
        ] {
            let digits = field.len() - 1;
            if value >= 0 && (value as u64) < 8u64.pow(digits as u32) {
                header[field].copy_from_slice(format!("{value:0digits$o}\0").as_bytes());
            } else if pax {
                if key != "mtime" {
                    records.push((key.as_bytes().to_vec(), value.to_string().into_bytes()));
                }
            } else {
                // Base 256, two's complement, the top bit set.
                let len = field.len();
                let mut wide = vec![if value < 0 { 0xff } else { 0 }; len - 8];
                wide.extend_from_slice(&value.to_be_bytes());
                wide[0] |= 0x80;
                header[field].copy_from_slice(&wide);
            }
        }
        if pax && (nanoseconds != 0 || !(0..1 << 33).contains(&seconds)) {
            records.push((b"mtime".to_vec(), decimal(seconds, nanoseconds).into_bytes()));
        }
        header[156] = kind;
        header[257..265].copy_from_slice(if pax { b"ustar\x0000" } else { b"ustar  \0" });
        if matches!(kind, b'3' | b'4') {
            header[329..337].copy_from_slice(format!("{:07o}\0", self.device.0).as_bytes());
            header[337..345].copy_from_slice(format!("{:07o}\0", self.device.1).as_bytes());
        }
        if let (Some(size), Some((_, _, map))) = (gnu_sparse, &self.sparse) {
            for (slot, (offset, len)) in map.iter().take(4).enumerate() {
                let at = 386 + slot * 24;
                header[at..at + 24].copy_from_slice(format!("{offset:011o}\0{len:011o}\0").as_bytes());
            }
            header[482] = u8::from(map.len() > 4);
            header[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
        }
        for (at, bytes) in &self.patches {
            header[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        seal(&mut header);
        if !self.checksum {
            header[148] ^= 1;
        }
        if !records.is_empty() {
            let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            extension(out, b'x', b"PaxHeaders/entry", &body);
        }
        out.extend_from_slice(&header);
        out.extend_from_slice(&after_header);
        out.extend_from_slice(&body);
        pad(out);
    }
}

/// Makes the checksum of a header: the sum of its bytes, the checksum's own taken as blanks.
pub fn seal(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// An entry that describes the next one.
fn extension(out: &mut Vec<u8>, kind: u8, name: &[u8], body: &[u8]) {
    let mut header = [0u8; BLOCK];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = kind;
    header[257..265].copy_from_slice(if matches!(kind, b'L' | b'K') { b"ustar  \0" } else { b"ustar\x0000" });
    seal(&mut header);
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    pad(out);
}

/// A PAX record, which begins with its own length.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut len = rest.len() + 1;
    while len.to_string().len() + rest.len() != len {
        len += 1;
    }
    [len.to_string().into_bytes(), rest].concat()
}

/// A time as PAX has it: before 1970 the whole number is negative.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}", total.abs() / 1_000_000_000, total.abs() % 1_000_000_000)
}

/// The blocks after a GNU sparse header: 21 pieces each, and whether another follows.
fn gnu_map_blocks(map: &[(u64, u64)]) -> Vec<u8> {
    let blocks: Vec<_> = map.chunks(21).collect();
    let mut out = Vec::new();
    for (n, pieces) in blocks.iter().enumerate() {
        let mut block = [0u8; BLOCK];
        for (slot, (offset, len)) in pieces.iter().enumerate() {
            block[slot * 24..slot * 24 + 24]
                .copy_from_slice(format!("{offset:011o}\0{len:011o}\0").as_bytes());
        }
        block[504] = u8::from(n + 1 < blocks.len());
        out.extend_from_slice(&block);
    }
    out
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}
