//! Any end-to-end encrypted frames in a real group of two: what was said comes out as it was said,
//! and what was changed on the way does not.
//!
//! The first byte says what is done to a frame of the other member; without it the bytes are taken as
//! they are.

#![no_main]

// The other target needs the rest of it.
#[allow(dead_code)]
#[path = "../group.rs"]
mod group;

use std::cell::RefCell;
use std::time::Instant;

use group::{Group, THEM};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static GROUP: RefCell<Group> = RefCell::new(Group::new());
}

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else {
        return;
    };
    GROUP.with_borrow_mut(|group| {
        let now = Instant::now();
        let mut frame = data.to_vec();
        let mut intact = false;
        match how % 4 {
            0 => {}
            1 => frame.extend([*how, 0xfa, 0xfa]),
            // Something that was really said, and perhaps changed.
            way => {
                let (place, said) = data
                    .split_first()
                    .map_or((0, data), |(it, rest)| (*it, rest));
                if said.is_empty() {
                    return;
                }
                frame = group
                    .them
                    .encrypt_opus(said)
                    .expect("encrypted")
                    .into_owned();
                intact = way == 2 || frame == said;
                if !intact {
                    let place = usize::from(place) % frame.len();
                    frame[place] ^= how | 1;
                }
                if place & 1 == 0 && !intact {
                    frame.truncate(usize::from(place) % frame.len());
                }
            }
        }
        let opened = group.us.open(THEM, &frame, now);
        if intact {
            let said = &data[usize::from(!data.is_empty())..];
            assert_eq!(opened.as_deref(), Ok(said));
        } else if let Ok(opus) = opened {
            // Only silence is plain in an encrypted call.
            assert_eq!(opus[..], [0xf8, 0xff, 0xfe]);
        }
        let (whose, tried) = group.us.whose(&frame, 16);
        assert!(tried <= 16);
        assert!(whose.is_none_or(|(user, _)| user == THEM));
    });
});
