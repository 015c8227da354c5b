//! Extended attributes: users see their own, never the overlay's.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::acl::Named;
use super::address::Held;
use super::copy_up::Content;
use super::file::CAPABILITY;
use super::node::{Body, Node};
use super::object::Object;
use super::types::{AclSgid, NodeId, Trusted, XattrMode};
use super::{Overlay, acl};
use crate::config::{Acl, StatOverride, Xattrs};
use crate::error::{Error, ErrorContext, Kind, LayerRef, OpContext, Result};
use crate::layer::Layer;
use crate::sys::fs;
use crate::sys::xattr::{self, SetMode};

/// The owner's permission bits.
const OWNER: u32 = 0o700;

/// Are owners and modes of this layer's objects kept in records?
fn records(layer: &Layer) -> bool {
    layer.rules.stat_override != StatOverride::Off
}

/// The security label that `ls -l` asks of every file, unless it is told once that there are none.
const LABEL: &[u8] = b"security.selinux";

impl Overlay {
    /// The value, whole. `name` is the full name with its namespace.
    ///
    /// # Errors
    /// [`Kind::NoAttribute`]; [`Kind::Unsupported`] with `noxattrs`, for ACLs with `noacl`, and for security labels
    /// where nothing on this machine uses them.
    pub fn getxattr(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        self.check_xattr(name)?;
        let node = self.node(node)?;
        let result = self.with_object(&node, |object| {
            let value = object.xattr(name)?;
            let value = match object {
                // The inode's own bits let the daemon in; the record has those of the object.
                Object::Held(held, layer) if name == acl::ACCESS && records(layer) => {
                    acl::with_perm(value, layer.stat(held.at())?.mode)
                }
                _ => value,
            };
            Ok(if is_acl(name) { self.shown_acl(value) } else { value })
        });
        match result {
            Err(error) if name == LABEL && !self.options.labels && *error.kind() == Kind::NoAttribute => {
                Err(Error::new("get attribute", Errno::ENOTSUP))
            }
            other => other.at(name),
        }
    }

    /// The names, each ended by a NUL byte.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] with `noxattrs`.
    pub fn listxattr(&self, node: NodeId, trusted: Trusted) -> Result<Vec<u8>> {
        self.check_xattr(b"")?;
        let node = self.node(node)?;
        let names = self.with_object(&node, |object| object.xattr_names())?;
        let mut list = Vec::new();
        for name in names {
            let hidden = (self.options.acl == Acl::Off && is_acl(&name))
                || (trusted == Trusted::Hidden && name.starts_with(b"trusted."));
            if !hidden {
                list.extend_from_slice(&name);
                list.push(0);
            }
        }
        Ok(list)
    }

    /// Sets an attribute; the object is copied up first.
    ///
    /// # Errors
    /// [`Kind::Exists`] and [`Kind::NoAttribute`] as `mode` demands; what the upper's file system answers.
    pub fn setxattr(
        &self,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
        sgid: AclSgid,
    ) -> Result<()> {
        self.check_xattr(name)?;
        let node = self.node(node)?;
        self.for_change(&node)?;
        self.in_upper(&node, |held, layer| {
            let stored =
                layer.xattr_rules().stored(name).map_err(|kind| Error::new("set attribute", kind))?;
            let mode = match mode {
                XattrMode::Set => SetMode::Any,
                XattrMode::Create => SetMode::Create,
                XattrMode::Replace => SetMode::Replace,
            };
            let value = match is_acl(name) {
                true => Cow::Owned(self.stored_acl(value)?),
                false => Cow::Borrowed(value),
            };
            let perm = (name == acl::ACCESS && records(layer)).then(|| acl::perm(&value)).flatten();
            let value = match perm {
                // It changes the inode's bits, too, by which the daemon must reach the record.
                Some(perm) => Cow::Owned(acl::with_perm(value.into_owned(), perm | OWNER)),
                None => value,
            };
            xattr::set(held.at(), &stored, &value, mode).op("set attribute").in_layer(LayerRef::Upper)?;
            if let Some(perm) = perm {
                self.record_perm(held, perm)?;
            }
            if sgid == AclSgid::Kill && name == acl::ACCESS {
                self.drop_sgid(held)?;
            }
            Ok(())
        })
        .at(name)
    }

    /// Removes an attribute; the object is copied up first.
    ///
    /// # Errors
    /// [`Kind::NoAttribute`]; what the upper's file system answers.
    pub fn removexattr(&self, node: NodeId, name: &[u8]) -> Result<()> {
        self.check_xattr(name)?;
        let node = self.node(node)?;
        // What is not there is not worth a copy.
        self.with_object(&node, |object| match object.layer().id() {
            LayerRef::Upper => Ok(()),
            _ => object.xattr(name).map(drop),
        })
        .at(name)?;
        self.for_change(&node)?;
        self.in_upper(&node, |held, layer| {
            let stored =
                layer.xattr_rules().stored(name).map_err(|kind| Error::new("remove attribute", kind))?;
            xattr::remove(held.at(), &stored).op("remove attribute").in_layer(LayerRef::Upper)
        })
        .at(name)?;
        if let (CAPABILITY, Some(file)) = (name, node.as_leaf()) {
            file.capabilities_gone.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// A layer's ACL with the ids that the mount shows.
    fn shown_acl(&self, value: Vec<u8>) -> Vec<u8> {
        let shown = acl::map_ids(value, |named| {
            Ok::<u32, std::convert::Infallible>(match named {
                Named::User(id) => self.ownership.shown_uid(id),
                Named::Group(id) => self.ownership.shown_gid(id),
            })
        });
        match shown {
            Ok(value) => value,
        }
    }

    /// A caller's ACL with the ids that the layer keeps.
    fn stored_acl(&self, value: &[u8]) -> Result<Vec<u8>> {
        acl::map_ids(value.to_vec(), |named| match named {
            Named::User(id) => self.ownership.stored_uid(id),
            Named::Group(id) => self.ownership.stored_gid(id),
        })
        .map_err(|kind| Error::new("set ACL", kind))
    }

    fn check_xattr(&self, name: &[u8]) -> Result<()> {
        if self.options.xattrs == Xattrs::Off {
            return Err(Error::new("use attributes", Kind::Unsupported("the mount has none (noxattrs)")));
        }
        if self.options.acl == Acl::Off && is_acl(name) {
            return Err(Error::new("use ACLs", Kind::Unsupported("the mount has none (noacl)")));
        }
        Ok(())
    }

    fn for_change(&self, node: &Arc<Node>) -> Result<()> {
        match &node.body {
            Body::Dir(_) => self.upper_dir(node).map(drop),
            Body::Leaf(_) => self.copy_up(node, Content::Keep),
        }
    }

    /// Asks the object that has a node's attributes.
    fn with_object<T>(&self, node: &Arc<Node>, ask: impl FnOnce(&Object<'_>) -> Result<T>) -> Result<T> {
        match &node.body {
            Body::Dir(dir) => ask(&self.dir_object(node, dir)?),
            Body::Leaf(file) => {
                let state = file.read();
                ask(&self.object(&state)?)
            }
        }
    }

    /// Changes the object that has a node's attributes, which has been copied up.
    fn in_upper<T>(&self, node: &Arc<Node>, act: impl FnOnce(&Held, &Layer) -> Result<T>) -> Result<T> {
        self.with_object(node, |object| match object {
            Object::Held(held, layer) if layer.id == LayerRef::Upper => act(held, layer),
            Object::Held(..) | Object::Entry(..) => Err(Error::new("change attribute", Kind::Stale)),
        })
    }

    /// An ACL has changed the permission bits of the inode; the object's are recorded.
    fn record_perm(&self, held: &Held, perm: u32) -> Result<()> {
        let upper = self.stack.writable()?;
        let inode = fs::stat(held.at()).op("stat").in_layer(LayerRef::Upper)?;
        let now = super::ownership::LayerStat::of(&upper.layer.stat(held.at())?);
        let owner = super::ownership::LayerStat { perm: (now.perm & !0o777) | perm, ..now };
        self.set_owner(upper, held.at(), owner, &inode)
    }

    fn drop_sgid(&self, held: &Held) -> Result<()> {
        let upper = self.stack.writable()?;
        let stat = upper.layer.stat(held.at())?;
        let perm = stat.mode & 0o7777;
        if perm & libc::S_ISGID == 0 {
            return Ok(());
        }
        let owner = super::ownership::LayerStat {
            perm: perm & !libc::S_ISGID,
            ..super::ownership::LayerStat::of(&stat)
        };
        self.set_owner(upper, held.at(), owner, &stat)
    }
}

fn is_acl(name: &[u8]) -> bool {
    name == acl::ACCESS || name == acl::DEFAULT
}
