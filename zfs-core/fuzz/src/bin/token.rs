//! Text of unknown origin as a resume token. The checksum would keep nearly all of it out, so unless the input
//! begins with a digit it is taken as the content of a token whose form is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zfs_core::token::ResumeToken;
use zfs_core::token::wrap_packed;

fuzz_target!(|data: &[u8]| {
    let text = match data.first() {
        Some(b'0'..=b'9') => String::from_utf8_lossy(data).into_owned(),
        _ => wrap_packed(data),
    };
    let Ok(mut token) = text.parse::<ResumeToken>() else { return };
    token.unknown.clear();
    assert_eq!(token.encode().parse(), Ok(token.clone()));
    let _ = token.to_string();
});
