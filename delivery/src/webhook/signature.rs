//! Signatures of webhooks.
//!
//! Source: the Standard Webhooks specification, version 1 (symmetric keys).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Length of a secret, in bytes.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// A secret that Plaudit and a payer share. Never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
        let fits = bytes.filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()));
        fits.map(Self).ok_or_else(|| {
            format!("a secret is whsec_ and the base64 of {BYTES_MIN} to {BYTES_MAX} bytes")
        })
    }

    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: one signature for each secret.
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &str) -> String {
    let signed: Vec<String> = secrets.iter().map(|s| s.sign(id, timestamp, body)).collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_that_of_the_reference_libraries() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, timestamp, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(std::slice::from_ref(&secret), id, timestamp, body), one);
        let both = signature(&[secret.clone(), secret], id, timestamp, body);
        assert_eq!(both, format!("{one} {one}"));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%"] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }
}
