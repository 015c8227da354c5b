//! Container images: what is in an archive or a layout, and what its layers are. Knows nothing of FUSE.

mod reference;

pub use reference::ImageRef;
