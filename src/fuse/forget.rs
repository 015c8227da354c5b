//! What the kernel is told to forget, and the threads that tell it: one that serves nobody, in order, and one that refreshes.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::iter;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Receiver, Sender};

use fuser::{INodeNo, Notifier};
use nix::errno::Errno;

use super::adapter::Adapter;
use super::wire::{Reply, Unique};
use crate::overlay::{Invalidation, NodeId};
use crate::path::NameBuf;

/// What the kernel must forget, told by the thread that serves nobody.
#[derive(Debug)]
pub(super) enum Forgotten {
    /// A name.
    Entry(NodeId, NameBuf),
    /// Attributes, and data or listing.
    Content(NodeId),
    /// All that came before this is forgotten: the answer for those who wait for that.
    All(Vec<Asked>, Reply<'static>),
}

/// A request for a refresh, and the connection that it came by.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) connection: OwnedFd,
    pub(super) unique: Unique,
}

/// Holds what is known against the layers, for whoever asks, one pass at a time.
#[derive(Debug)]
pub(super) struct Refresher<'a> {
    pub(super) adapter: &'a Adapter,
    pub(super) notifier: Notifier,
    pub(super) asked: Receiver<Asked>,
    pub(super) forget: Sender<Forgotten>,
}

impl Refresher<'_> {
    /// Works until the last worker is gone.
    pub(super) fn run(self) {
        while let Some(waiting) = all_that_wait(&self.asked) {
            log::debug!("refresh: one pass for {}", waiting.len());
            let reply = self.adapter.refresh();
            let later = forget_attributes(self.adapter, &self.notifier);
            for forgotten in later.into_iter().chain([Forgotten::All(waiting, reply)]) {
                // The receiver lives as long as this sender; were it gone, so would be the mount.
                self.forget.send(forgotten).ok();
            }
        }
    }
}

/// Waits for one, and takes all that are there: who has asked before a pass begins is served by it.
fn all_that_wait<T>(queue: &Receiver<T>) -> Option<Vec<T>> {
    let first = queue.recv().ok()?;
    Some(iter::once(first).chain(queue.try_iter()).collect())
}

/// Tells the kernel which attributes it must ask for again, and gives what it must forget later.
///
/// Attributes go before the reply, so that whoever has the reply sees them new; the kernel takes no lock for them.
/// For names it locks the directory, which the caller of this very request may hold: they must come after the reply,
/// and from a thread that serves nobody. For data it waits for reads that are under way: from that thread, too.
pub(super) fn forget_attributes(adapter: &Adapter, notifier: &Notifier) -> Vec<Forgotten> {
    let mut later = Vec::new();
    for invalidation in adapter.take_invalidations() {
        adapter.observer().tells(&invalidation);
        match invalidation {
            // A negative offset leaves the data alone.
            Invalidation::Attr(node) => note(notifier.inval_inode(INodeNo(node.0), -1, 0)),
            // The pages of a directory are its listing.
            Invalidation::Listing(node) => note(notifier.inval_inode(INodeNo(node.0), 0, 0)),
            Invalidation::Entry(dir, name) => later.push(Forgotten::Entry(dir, name)),
            Invalidation::Content(node) => later.push(Forgotten::Content(node)),
        }
    }
    later
}

/// Does what it is told in the order it is told.
pub(super) fn forget_in_order(notifier: &Notifier, forgotten: &Receiver<Forgotten>) {
    for what in forgotten {
        match what {
            Forgotten::Entry(dir, name) => {
                note(notifier.inval_entry(INodeNo(dir.0), OsStr::from_bytes(name.as_bytes())));
            }
            // From the start to the end: attributes and all pages.
            Forgotten::Content(node) => note(notifier.inval_inode(INodeNo(node.0), 0, 0)),
            Forgotten::All(waiting, reply) => {
                for Asked { connection, unique } in waiting {
                    answer(&connection, unique, &reply);
                }
            }
        }
    }
}

/// Answers a request, on the connection that it came by.
pub(super) fn answer(connection: &OwnedFd, unique: Unique, reply: &Reply<'_>) {
    if let Some(encoded) = reply.encode(unique) {
        send(connection, unique, &encoded.slices());
    }
}

fn send(connection: &OwnedFd, unique: Unique, reply: &[IoSlice<'_>]) {
    match nix::sys::uio::writev(connection, reply) {
        Ok(_) => {}
        // The mount, or whoever asked, is gone: there is nobody to tell.
        Err(Errno::ENODEV | Errno::ENOENT) => log::debug!("reply to {} came too late", unique.0),
        Err(errno) => log::error!("the kernel refused the reply to {}: {}", unique.0, errno.desc()),
    }
}

/// A notification that cannot be delivered leaves a stale cache for as long as an entry is valid: worth a line, and no
/// more can be done. What the kernel no longer knows, or a mount that is gone, needs none.
fn note(sent: io::Result<()>) {
    if let Err(error) = sent
        && !matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENOTCONN)
        )
    {
        log::warn!("the kernel cannot be told to forget: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn who_asks_before_a_pass_begins_is_served_by_it() {
        let (ask, asked) = channel();
        for number in 1..=3 {
            ask.send(number).unwrap();
        }
        assert_eq!(all_that_wait(&asked), Some(vec![1, 2, 3]));
        ask.send(4).unwrap();
        drop(ask);
        assert_eq!(all_that_wait(&asked), Some(vec![4]), "also after the last worker has gone");
        assert_eq!(all_that_wait(&asked), None);
    }
}
