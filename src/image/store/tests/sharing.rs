//! Several at once.

use std::sync::Barrier;
use std::thread;

use super::images::*;
use crate::image::store::{Prepare, Store, Task};

#[test]
fn those_that_need_the_same_layer_at_once_share_one_work() {
    let place = Place::new();
    let tars = [tar(&[("a", 2_000_000)]), tar(&[("b", 1_000_000)])];
    let image = place.image("image", &[Layer::gzip(&tars[0]), Layer::gzip(&tars[1])]);
    let counts: Vec<Count> = (0..4).map(|_| Count::default()).collect();
    let barrier = Barrier::new(counts.len());
    thread::scope(|scope| {
        for count in &counts {
            scope.spawn(|| {
                // Each has its own view of the store, as processes have.
                let opened = (Store::open(&place.path("store")), place.open("image"));
                barrier.wait();
                let (store, image) = (opened.0.unwrap(), opened.1.unwrap());
                assert_eq!(store.prepare(&image, &Prepare::default(), count).unwrap().len(), 2);
            });
        }
    });
    let mut tasks: Vec<(usize, Task)> = counts.iter().flat_map(|count| count.get().tasks).collect();
    tasks.sort_by_key(|(layer, _)| *layer);
    assert_eq!(tasks, [(1, Task::Unpack), (2, Task::Unpack)]);
    let read: u64 = counts.iter().map(Count::total).sum();
    assert_eq!(read, image.layers.iter().map(|layer| layer.stored).sum::<u64>());
}
