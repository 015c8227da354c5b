//! The inode numbers the mount shows: distinct across the file systems of the layers, and the same after a remount.
//!
//! The file system of the topmost layer keeps its numbers; every further one gets an index into the high bits
//! (`xino`). A number that reaches into those bits is folded, and then might, with the odds of a 64-bit hash, not be
//! alone.

use std::sync::{Mutex, PoisonError};

use crate::config::{Behaviour, Xino};

/// Bits of a number that stay its own on the second and further file systems.
const OWN_BITS: u32 = 56;

/// From (file system, inode number) to the number that is shown.
#[derive(Debug)]
pub(super) struct InodeNumbers {
    /// `st_dev` of the file systems, in the order of the layers from the top.
    devices: Mutex<Vec<u64>>,
    narrow: bool,
}

impl InodeNumbers {
    /// `devices`: `st_dev` of the layers, top first.
    pub(super) fn new(devices: impl Iterator<Item = u64>, behaviour: &Behaviour) -> Self {
        let mut distinct = Vec::new();
        for device in devices {
            if !distinct.contains(&device) {
                distinct.push(device);
            }
        }
        if behaviour.xino == Xino::On && distinct.len() > 256 {
            log::warn!(
                "xino=on: the layers lie on more than 256 file systems; inode numbers may not be distinct"
            );
        }
        InodeNumbers { devices: Mutex::new(distinct), narrow: behaviour.ino32 }
    }

    /// The number that is shown.
    pub(super) fn shown(&self, device: u64, ino: u64) -> u64 {
        let wide = match self.index(device) {
            0 => ino,
            index if ino >> OWN_BITS == 0 && index < 1 << (64 - OWN_BITS) => ino | (index << OWN_BITS),
            index => fold(ino, index),
        };
        if !self.narrow || wide <= u64::from(u32::MAX) {
            return wide;
        }
        // Never 0, which readers of directories take for "deleted".
        (fold(wide, 0) & u64::from(u32::MAX)).max(1)
    }

    fn index(&self, device: u64) -> u64 {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let index = devices.iter().position(|known| *known == device).unwrap_or_else(|| {
            // A mount or subvolume within a layer.
            devices.push(device);
            devices.len() - 1
        });
        index as u64
    }
}

/// splitmix64's finaliser: every input bit reaches every output bit.
fn fold(ino: u64, index: u64) -> u64 {
    let mut x = ino.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_system_keeps_its_numbers_and_others_are_apart() {
        let numbers = InodeNumbers::new([7, 9, 7, 11].into_iter(), &Behaviour::default());
        assert_eq!(numbers.shown(7, 42), 42);
        assert_eq!(numbers.shown(9, 42), 42 | 1 << 56);
        assert_eq!(numbers.shown(11, 42), 42 | 2 << 56);
        assert_eq!(numbers.shown(13, 42), 42 | 3 << 56);
        let wide = u64::MAX - 3;
        assert_eq!(numbers.shown(7, wide), wide);
        assert_ne!(numbers.shown(9, wide), numbers.shown(11, wide));
    }

    #[test]
    fn narrow_numbers_fit_32_bits_and_are_not_zero() {
        let behaviour = Behaviour { ino32: true, ..Behaviour::default() };
        let numbers = InodeNumbers::new([7, 9].into_iter(), &behaviour);
        assert_eq!(numbers.shown(7, 42), 42);
        for ino in [1, 1 << 33, u64::MAX] {
            let shown = numbers.shown(9, ino);
            assert!(shown != 0 && shown <= u64::from(u32::MAX));
        }
    }
}
