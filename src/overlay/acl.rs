//! POSIX ACLs, as far as making an object in a directory with a default ACL needs them.
//!
//! What is made in the work directory does not inherit anything from its later parent, so the inheritance is computed
//! here. Source: POSIX.1e draft 17, 23.3.4; the value's layout is that of include/uapi/linux/posix_acl_xattr.h:
//! a version (2, 32 bits), then entries of tag (16 bits), permissions (16 bits) and id (32 bits), little endian.

/// The attribute with the ACL that is checked.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the ACL that objects made in the directory inherit.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const HEADER: usize = 4;
const ENTRY: usize = 8;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Whose ids an entry of an ACL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    User(u32),
    Group(u32),
}

/// Rewrites the ids of an ACL's named users and groups. What is no ACL stays as it is: the file system refuses it.
pub(super) fn map_ids<E>(mut value: Vec<u8>, map: impl Fn(Named) -> Result<u32, E>) -> Result<Vec<u8>, E> {
    for entry in value.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY) {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let named = match u16::from_le_bytes([entry[0], entry[1]]) {
            USER => Named::User(id),
            GROUP => Named::Group(id),
            _ => continue,
        };
        entry[4..].copy_from_slice(&map(named)?.to_le_bytes());
    }
    Ok(value)
}

/// The permission bits that an object has with this access ACL, 0..=0o777; `None` where the value is no ACL.
pub(super) fn perm(access: &[u8]) -> Option<u32> {
    inherit(access, 0o777).map(|same| same.perm)
}

/// Puts the permission bits of an object into its access ACL, as chmod(2) does: the owner's, the mask's or else the
/// group's, and the others'. What is no ACL stays as it is.
pub(super) fn with_perm(mut access: Vec<u8>, perm: u32) -> Vec<u8> {
    let Some(entries) = access.get_mut(HEADER..) else { return access };
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let has_mask = entries.chunks_exact(ENTRY).any(|entry| tag(entry) == MASK);
    for entry in entries.chunks_exact_mut(ENTRY) {
        let bits = match tag(entry) {
            USER_OBJ => perm >> 6,
            GROUP_OBJ if has_mask => continue,
            GROUP_OBJ | MASK => perm >> 3,
            OTHER => perm,
            _ => continue,
        };
        entry[2..4].copy_from_slice(&((bits & 7) as u16).to_le_bytes());
    }
    access
}

/// What an object inherits from its directory's default ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inherited {
    /// Its permission bits.
    pub(super) perm: u32,
    /// Its access ACL, where the permission bits do not say it all.
    pub(super) access: Option<Vec<u8>>,
}

/// Computes what an object that is asked to be made with `perm` inherits; `None` where the value is no ACL.
pub(super) fn inherit(default: &[u8], perm: u32) -> Option<Inherited> {
    let version = u32::from_le_bytes(default.get(..HEADER)?.try_into().ok()?);
    let entries = default.get(HEADER..)?;
    if version != VERSION || entries.is_empty() || entries.len() % ENTRY != 0 {
        return None;
    }
    let mut access = default.to_vec();
    let tag_at = |value: &[u8], at: usize| u16::from_le_bytes([value[at], value[at + 1]]);
    let positions = || (HEADER..default.len()).step_by(ENTRY);
    let has_mask = positions().any(|at| tag_at(default, at) == MASK);
    let mut result = perm & !0o777;
    for at in positions() {
        let tag = tag_at(default, at);
        let allowed = u32::from(u16::from_le_bytes([default[at + 2], default[at + 3]])) & 7;
        let shift = match tag {
            USER_OBJ => 6,
            // The group's bits are the mask's where there is one, and the group's own entry stays as it is.
            GROUP_OBJ if has_mask => continue,
            GROUP_OBJ | MASK => 3,
            OTHER => 0,
            _ => continue,
        };
        let kept = allowed & (perm >> shift);
        result |= kept << shift;
        access[at + 2..at + 4].copy_from_slice(&(kept as u16).to_le_bytes());
    }
    // Three entries are what the permission bits say.
    let extended = positions().any(|at| !matches!(tag_at(default, at), USER_OBJ | GROUP_OBJ | OTHER));
    Some(Inherited { perm: result, access: extended.then_some(access) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ID: u32 = u32::MAX;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(perm.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn three_entries_become_permission_bits() {
        let default = acl(&[(USER_OBJ, 7, NO_ID), (GROUP_OBJ, 5, NO_ID), (OTHER, 0, NO_ID)]);
        let inherited = inherit(&default, 0o2666).unwrap();
        assert_eq!(inherited, Inherited { perm: 0o2640, access: None });
    }

    #[test]
    fn with_a_mask_the_groups_bits_are_the_masks() {
        let default = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 6, 1000),
            (GROUP_OBJ, 7, NO_ID),
            (MASK, 7, NO_ID),
            (OTHER, 5, NO_ID),
        ]);
        let inherited = inherit(&default, 0o640).unwrap();
        assert_eq!(inherited.perm, 0o640);
        assert_eq!(
            inherited.access.unwrap(),
            acl(&[
                (USER_OBJ, 6, NO_ID),
                (USER, 6, 1000),
                (GROUP_OBJ, 7, NO_ID),
                (MASK, 4, NO_ID),
                (OTHER, 0, NO_ID),
            ])
        );
    }

    #[test]
    fn permission_bits_go_into_an_acl_and_come_out() {
        let with_mask = |owner, mask, other| {
            let named = (USER, 6, 1000);
            acl(&[
                (USER_OBJ, owner, NO_ID),
                named,
                (GROUP_OBJ, 5, NO_ID),
                (MASK, mask, NO_ID),
                (OTHER, other, NO_ID),
            ])
        };
        let three = |owner, group, other| {
            acl(&[(USER_OBJ, owner, NO_ID), (GROUP_OBJ, group, NO_ID), (OTHER, other, NO_ID)])
        };
        for make in [with_mask as fn(u16, u16, u16) -> Vec<u8>, three] {
            assert_eq!(perm(&make(6, 4, 0)), Some(0o640));
            assert_eq!(with_perm(make(7, 7, 7), 0o4051), make(0, 5, 1));
        }
        for none in [&b""[..], b"\x02", &VERSION.to_le_bytes(), b"\x02\0\0\0\x01\0"] {
            assert_eq!(perm(none), None);
            assert_eq!(with_perm(none.to_vec(), 0o777), none);
        }
    }

    #[test]
    fn only_named_users_and_groups_are_mapped() {
        let before = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 6, 5),
            (GROUP_OBJ, 5, NO_ID),
            (GROUP, 4, 5),
            (MASK, 7, NO_ID),
        ]);
        let mapped = map_ids(before, |named| match named {
            Named::User(id) => Ok::<u32, ()>(id + 1000),
            Named::Group(id) => Ok(id + 2000),
        });
        let after = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 6, 1005),
            (GROUP_OBJ, 5, NO_ID),
            (GROUP, 4, 2005),
            (MASK, 7, NO_ID),
        ]);
        assert_eq!(mapped, Ok(after));
        assert_eq!(map_ids(vec![2, 0, 0, 0, 2], |_| Err(())), Ok(vec![2, 0, 0, 0, 2]));
    }

    #[test]
    fn what_is_no_acl_is_not_inherited() {
        for bad in [&b""[..], &[2, 0, 0, 0], &[3, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0], &[2, 0, 0, 0, 1, 0, 7]] {
            assert_eq!(inherit(bad, 0o777), None);
        }
    }
}
