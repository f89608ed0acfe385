//! Arbitrary end-to-end encrypted frames in a real group of two: an intact frame decrypts to what
//! was encrypted, an altered one does not decrypt.
//!
//! The first byte says whether the rest is taken as a frame, or is encrypted by the other member
//! first and then altered.

#![no_main]

// The other target needs the rest of it.
#[allow(dead_code)]
#[path = "../group.rs"]
mod group;

use std::cell::RefCell;
use std::time::Instant;

use group::{FuzzGroup, OTHER_USER};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static GROUP: RefCell<FuzzGroup> = RefCell::new(FuzzGroup::new());
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    GROUP.with_borrow_mut(|group| {
        let now = Instant::now();
        let mut frame = data.to_vec();
        let mut is_intact = false;
        match mode % 4 {
            0 => {}
            1 => frame.extend([*mode, 0xfa, 0xfa]),
            // A frame that was really encrypted; 3 alters it.
            encrypted => {
                let (position, opus) = data
                    .split_first()
                    .map_or((0, data), |(it, rest)| (*it, rest));
                if opus.is_empty() {
                    return;
                }
                frame = group
                    .other
                    .encrypt_opus(opus)
                    .expect("encrypted")
                    .into_owned();
                is_intact = encrypted == 2 || frame == opus;
                if !is_intact {
                    let index = usize::from(position) % frame.len();
                    frame[index] ^= mode | 1;
                }
                if position & 1 == 0 && !is_intact {
                    frame.truncate(usize::from(position) % frame.len());
                }
            }
        }
        let decrypted = group.dave.decrypt(OTHER_USER, &frame, now);
        if is_intact {
            let opus = &data[usize::from(!data.is_empty())..];
            assert_eq!(decrypted.as_deref(), Ok(opus));
        } else if let Ok(opus) = decrypted {
            // Only silence may be unencrypted in an encrypted call.
            assert_eq!(opus[..], [0xf8, 0xff, 0xfe]);
        }
        let (sender, trials) = group.dave.identify_sender(&frame, 16);
        assert!(trials <= 16);
        assert!(sender.is_none_or(|(user_id, _)| user_id == OTHER_USER));
    });
});
