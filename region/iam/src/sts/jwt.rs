//! Web identity tokens: JSON Web Tokens (RFC 7519), signed with RSA or ECDSA (RFC 7518), and the keys that verify them
//! (RFC 7517).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use crate::query::error::{IamError, Result};

/// How far a provider's clock may be from this region's, in seconds.
const LEEWAY_S: i64 = 300;
/// The most keys of a set that are looked at.
const KEYS_MAX: usize = 100;

/// A provider's keys: a JSON Web Key Set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// A public key. Members of other kinds than RSA's and ECDSA's are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Jwk {
    /// `RSA` or `EC`.
    pub kty: String,
    /// What tokens call it.
    pub kid: Option<String>,
    /// The algorithm that it is for, if it is for one only.
    pub alg: Option<String>,
    /// Of RSA: the modulus.
    pub n: Option<String>,
    /// Of RSA: the exponent.
    pub e: Option<String>,
    /// Of ECDSA: the curve.
    pub crv: Option<String>,
    /// Of ECDSA: a coordinate.
    pub x: Option<String>,
    /// Of ECDSA: the other one.
    pub y: Option<String>,
}

impl JwkSet {
    /// Whether there is a key of this name.
    pub fn has(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(key_id))
    }
}

/// What a token says. Nothing is to be believed before [`verify`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(default)]
    pub(super) aud: Audience,
    pub(super) azp: Option<String>,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
}

/// One audience or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Several(audiences) => audiences,
        }
    }
}

/// A token, taken apart.
struct Token<'a> {
    header: Header,
    claims: Claims,
    /// What is signed: the first two parts as they are.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self {
            header: part(header)?,
            claims: part(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether a key made its signature.
    fn is_signed_by(&self, key: &Jwk) -> bool {
        let alg = self.header.alg.as_str();
        if key.alg.as_deref().is_some_and(|only| only != alg) {
            return false;
        }
        let bytes = |part: &Option<String>| part.as_ref().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let message = self.signed.as_bytes();
        if key.kty == "RSA" {
            let parameters = match alg {
                "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                "RS384" => &RSA_PKCS1_2048_8192_SHA384,
                "RS512" => &RSA_PKCS1_2048_8192_SHA512,
                "PS256" => &RSA_PSS_2048_8192_SHA256,
                _ => return false,
            };
            let (Some(n), Some(e)) = (bytes(&key.n), bytes(&key.e)) else {
                return false;
            };
            let public = RsaPublicKeyComponents { n, e };
            return public.verify(parameters, message, &self.signature).is_ok();
        }
        let (algorithm, length) = match (alg, key.crv.as_deref()) {
            ("ES256", Some("P-256")) => (&ECDSA_P256_SHA256_FIXED, 32),
            ("ES384", Some("P-384")) => (&ECDSA_P384_SHA384_FIXED, 48),
            _ => return false,
        };
        let (Some(x), Some(y)) = (bytes(&key.x), bytes(&key.y)) else {
            return false;
        };
        if key.kty != "EC" || x.len() != length || y.len() != length {
            return false;
        }
        // SEC 1's uncompressed form.
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        let public = UnparsedPublicKey::new(algorithm, point);
        public.verify(message, &self.signature).is_ok()
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// A token's claims and the id of its key, not verified: to find out who could verify it.
pub(super) fn read(token: &str) -> Result<(Claims, Option<String>)> {
    let token = Token::read(token).ok_or_else(malformed)?;
    Ok((token.claims, token.header.kid))
}

/// Verifies a token by its provider's keys: its signature and its times. `now_unix_s` is the region's clock.
pub(super) fn verify(token: &str, keys: &JwkSet, now_unix_s: i64) -> Result<Claims> {
    let token = Token::read(token).ok_or_else(malformed)?;
    let kid = token.header.kid.as_deref();
    let mut fitting = keys
        .keys
        .iter()
        .take(KEYS_MAX)
        .filter(|key| kid.is_none() || key.kid.as_deref() == kid);
    if !fitting.any(|key| token.is_signed_by(key)) {
        return Err(invalid(
            "The signature of the ID Token is not that of any key of its provider",
        ));
    }
    let claims = token.claims;
    if now_unix_s >= claims.exp {
        let [now, end] = [now_unix_s, claims.exp].map(geodynamo_access::format_iso8601);
        return Err(IamError::new(
            "ExpiredTokenException",
            format!("Token expired: current date/time {now} must be before the expiration date/time {end}"),
        ));
    }
    let begin = claims.nbf.into_iter().chain(claims.iat).max().unwrap_or(0);
    if begin > now_unix_s.saturating_add(LEEWAY_S) {
        return Err(invalid("The ID Token is not valid yet"));
    }
    Ok(claims)
}

pub(super) fn invalid(message: &str) -> IamError {
    IamError::new("InvalidIdentityToken", message)
}

fn malformed() -> IamError {
    invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::*;

    const NOW: i64 = 1_796_019_120;

    fn encoded(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    fn jwk(pair: &EcdsaKeyPair) -> Jwk {
        let point = pair.public_key().as_ref();
        Jwk {
            kty: "EC".into(),
            kid: Some("one".into()),
            crv: Some("P-256".into()),
            x: Some(URL_SAFE_NO_PAD.encode(&point[1..33])),
            y: Some(URL_SAFE_NO_PAD.encode(&point[33..])),
            ..Jwk::default()
        }
    }

    fn token(pair: &EcdsaKeyPair, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn tokens_are_verified() {
        const HEADER: &str = r#"{"alg":"ES256","kid":"one"}"#;
        let (own, other) = (pair(), pair());
        let keys = JwkSet { keys: vec![jwk(&own)] };
        let claims = |exp: i64, more: &str| format!(r#"{{"iss":"https://i","sub":"s","aud":"a","exp":{exp}{more}}}"#);
        let check = |token: &str, code: Option<&str>| {
            let verified = verify(token, &keys, NOW);
            assert_eq!(verified.err().map(|error| error.code), code, "{token}");
        };
        let good = token(&own, HEADER, &claims(NOW + 1, ""));
        check(&good, None);
        assert_eq!(read(&good).unwrap().0.aud.all(), ["a"]);
        check(&token(&own, HEADER, &claims(NOW, "")), Some("ExpiredTokenException"));
        check(
            &token(&own, HEADER, &claims(NOW + 900, &format!(",\"nbf\":{}", NOW + 600))),
            Some("InvalidIdentityToken"),
        );
        check(
            &token(&own, HEADER, &claims(NOW + 900, &format!(",\"iat\":{}", NOW + 60))),
            None,
        );
        for (signer, header) in [
            (&other, HEADER),
            (&own, r#"{"alg":"ES256","kid":"two"}"#),
            (&own, r#"{"alg":"none","kid":"one"}"#),
            (&own, r#"{"alg":"RS256","kid":"one"}"#),
            (&own, r#"{"alg":"HS256","kid":"one"}"#),
        ] {
            check(
                &token(signer, header, &claims(NOW + 1, "")),
                Some("InvalidIdentityToken"),
            );
        }
        let (signed, _) = good.rsplit_once('.').unwrap();
        for malformed in ["", "a.b.c", "..", signed, &format!("{signed}."), &format!("{good}.x")] {
            check(malformed, Some("InvalidIdentityToken"));
        }
        assert_eq!(
            verify(&good, &JwkSet::default(), NOW).unwrap_err().code,
            "InvalidIdentityToken"
        );
    }
}
