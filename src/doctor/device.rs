//! /dev/fuse.

use super::{Finding, Level, Use};
use crate::source::preflight::{Fuse, Refusal};

/// Does it open?
pub fn judge(fuse: Fuse) -> Finding {
    let refusal = match fuse {
        Fuse::Usable => return Finding::ok("/dev/fuse", "it opens"),
        Fuse::NoDevice => Refusal::NoDevice,
        Fuse::AnotherFile => Refusal::NotTheDevice,
        Fuse::NoDriver => Refusal::NoDriver,
        Fuse::Refused(errno) => Refusal::DeviceRefused(errno),
    };
    let why = refusal.to_string();
    Finding::new("/dev/fuse", Level::Missing, &why).remedy(refusal.hint()).means(
        &Use::ALL,
        Level::Missing,
        &why,
    )
}
