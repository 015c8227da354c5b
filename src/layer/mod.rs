//! One layer: what it says of a name, its objects, and, for the upper, how things are made in it.

mod copy;
mod directory;
mod found;
mod staged;
mod unionfs;
mod upper;
mod work;

pub(crate) use copy::copy_extent;
pub use copy::{CopyRules, copy_data, copy_xattrs};
pub use directory::{ByName, Layer, LayerRules, Listed, OciMarks, RawListing};
pub use found::{Attributes, EntryId, Found, FoundDir, FoundLeaf};
pub use staged::Staged;
pub use upper::{OpaqueForm, Upper, UpperOptions, WhiteoutForm};
pub use work::{
    WorkFound, index_of_work, index_to_read, is_empty, lock, look_into_work, open as open_work,
    path_in_incompat, path_in_index, path_in_work, path_of_index, remove_left,
};
