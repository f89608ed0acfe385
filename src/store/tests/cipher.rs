//! Encryption of stored text.

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

fn cipher() -> StoreCipher {
    let key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    StoreCipher::from_base64(&key).expect("a key")
}

proptest! {
    #[test]
    fn sealed_text_opens_only_in_its_place(text in ".{0,200}", row in any::<i64>()) {
        let sealed = cipher().seal("a", row, &text).expect("sealed");
        prop_assert_eq!(cipher().open("a", row, &sealed).expect("opened"), text);
        prop_assert!(cipher().open("b", row, &sealed).is_err());
        prop_assert!(cipher().open("a", row.wrapping_add(1), &sealed).is_err());
    }

    #[test]
    fn random_bytes_do_not_open(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(cipher().open("a", 1, &bytes).is_err());
    }

    #[test]
    fn a_changed_bit_is_noticed(text in ".{0,50}", bit in any::<prop::sample::Index>()) {
        let mut sealed = cipher().seal("a", 1, &text).expect("sealed");
        let bit = bit.index(sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(cipher().open("a", 1, &sealed).is_err());
    }
}
