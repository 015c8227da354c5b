//! /dev/fuse: what only it needs of the system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

/// The device.
pub const PATH: &str = "/dev/fuse";

mod ioctl {
    // FUSE_DEV_IOC_CLONE (linux/fuse.h): _IOR(229, 0, uint32_t). It reads its argument, whatever its name says.
    nix::ioctl_read!(fuse_dev_ioc_clone, 229, 0, u32);
}

/// Opens the device for reading and writing.
///
/// # Errors
/// Those of open(2): NotFound where there is no device, PermissionDenied where we may not.
pub fn open() -> io::Result<OwnedFd> {
    let file: File = OpenOptions::new().read(true).write(true).open(PATH)?;
    Ok(file.into())
}

/// A further descriptor of a mounted connection, with its own list of requests in work.
///
/// A request must be answered on the descriptor that it was read from.
///
/// # Errors
/// Those of open(2) on the device, and EINVAL where `session` is not a mounted connection.
pub fn clone_connection(session: impl AsFd) -> io::Result<OwnedFd> {
    let further = open()?;
    // Descriptors are never negative.
    let mut source = session.as_fd().as_raw_fd() as u32;
    // SAFETY: `further` is open for the length of the call, and the kernel reads four bytes at `source`.
    unsafe { ioctl::fuse_dev_ioc_clone(further.as_raw_fd(), &mut source) }?;
    Ok(further)
}

/// Receives the one descriptor that fusermount3 sends through its socket.
///
/// # Errors
/// UnexpectedEof where the socket was closed without one, and those of recvmsg(2).
pub fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!(RawFd);
    let message = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part
            && let Some(descriptor) = descriptors.first()
        {
            // SAFETY: the kernel has just installed this descriptor for us; nothing else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(*descriptor) });
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
