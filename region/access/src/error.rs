//! Why a request is refused, in DynamoDB's names and texts.

use crate::CLOCK_WINDOW_S;

/// The name of a refusal. All of them are answered with status 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorCode {
    /// The request carries no authentication at all.
    MissingAuthenticationToken,
    /// The request carries authentication that cannot be read.
    IncompleteSignature,
    /// The access key, or the session token, is not known.
    UnrecognizedClient,
    /// The session token has expired.
    ExpiredToken,
    /// The signature is not the one that this request has, or not now, or not here.
    InvalidSignature,
    /// Too many requests of the same source were refused.
    Throttling,
}

impl ErrorCode {
    /// The exception's name, without a namespace: `InvalidSignatureException`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::Throttling => "ThrottlingException",
        }
    }

    /// The code that services of the Query protocol give it.
    pub const fn query_code(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::IncompleteSignature => "IncompleteSignature",
            Self::UnrecognizedClient => "InvalidClientTokenId",
            Self::ExpiredToken => "ExpiredToken",
            Self::InvalidSignature => "SignatureDoesNotMatch",
            Self::Throttling => "Throttling",
        }
    }

    /// What `__type` holds: the name in the namespace that DynamoDB gives it.
    pub const fn qualified_name(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "com.amazon.coral.service#MissingAuthenticationTokenException",
            Self::IncompleteSignature => "com.amazon.coral.service#IncompleteSignatureException",
            Self::UnrecognizedClient => "com.amazon.coral.service#UnrecognizedClientException",
            Self::ExpiredToken => "com.amazon.coral.service#ExpiredTokenException",
            Self::InvalidSignature => "com.amazon.coral.service#InvalidSignatureException",
            Self::Throttling => "com.amazon.coral.availability#ThrottlingException",
        }
    }
}

/// A refusal. Its `Display` is the text for the client: it may quote what the client sent, cut to
/// [`AccessError::QUOTE_BYTES_MAX`], and never anything of a key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Neither an `Authorization` header nor a presigned query.
    #[error("Request is missing Authentication Token")]
    MissingToken,
    /// The `Authorization` header lacks parameters; the text names each.
    #[error("{missing}Authorization={header}")]
    IncompleteHeader {
        /// One sentence a missing parameter, each followed by a space.
        missing: String,
        /// The header as it came.
        header: String,
    },
    /// The query lacks parameters of a presigned request; the text names each.
    #[error("{missing}Re-examine the query-string parameters.")]
    IncompleteQuery {
        /// One sentence a missing parameter, each followed by a space.
        missing: String,
    },
    /// A part of the `Authorization` header is not `key=value`.
    #[error("'{part}' not a valid key=value pair (missing equal-sign) in Authorization header: '{header}'.")]
    NotAPair {
        /// The part.
        part: String,
        /// The header as it came.
        header: String,
    },
    /// Another algorithm than `AWS4-HMAC-SHA256`.
    #[error("Unsupported AWS 'algorithm': '{0}'.")]
    UnsupportedAlgorithm(String),
    /// The credential is not `keyid/date/region/service/term`.
    #[error("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{0}'")]
    MalformedCredential(String),
    /// The date is in no form that AWS takes.
    #[error("Date must be in ISO-8601 'basic format'. Got '{0}'. See http://en.wikipedia.org/wiki/ISO_8601")]
    MalformedDate(String),
    /// `X-Amz-Expires` is not a number of seconds up to [`crate::PRESIGNED_VALIDITY_S_MAX`].
    #[error("X-Amz-Expires must be a number of seconds between 0 and 604800. Got '{0}'.")]
    MalformedExpiry(String),
    /// No such access key, or another session token than this key has.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// A temporary key whose time is over.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// Scoped to another region.
    #[error("Credential should be scoped to a valid region. ")]
    WrongRegion,
    /// Scoped to another service.
    #[error("Credential should be scoped to correct service: '{0}'. ")]
    WrongService(&'static str),
    /// The scope does not end in `aws4_request`.
    #[error("Credential should be scoped with a valid terminator: 'aws4_request', not '{0}'. ")]
    WrongTerminator(String),
    /// The scope's day is not the request's.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != \
         '{day}', from '{date}'."
    )]
    WrongDay {
        /// The day in the scope.
        scope: String,
        /// The day of the request's date.
        day: String,
        /// The request's date.
        date: String,
    },
    /// Older than the clock window lets through.
    #[error("Signature expired: {date} is now earlier than {earliest} ({now} - {} min.)", CLOCK_WINDOW_S / 60)]
    Expired {
        /// The request's date.
        date: String,
        /// The oldest date that is still taken.
        earliest: String,
        /// The region's clock.
        now: String,
    },
    /// A presigned request whose validity has run out.
    #[error("Signature expired: {expiry} is now earlier than {now}")]
    PresignedExpired {
        /// The end of its validity.
        expiry: String,
        /// The region's clock.
        now: String,
    },
    /// Newer than the clock window lets through.
    #[error("Signature not yet current: {date} is still later than {latest} ({now} + {} min.)", CLOCK_WINDOW_S / 60)]
    NotYetCurrent {
        /// The request's date.
        date: String,
        /// The latest date that is taken.
        latest: String,
        /// The region's clock.
        now: String,
    },
    /// The host is not among the signed headers.
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    /// An `x-amz-` header is present and not among the signed headers.
    #[error("'{0}' must be a 'SignedHeader' in the AWS Authorization.")]
    HeaderNotSigned(String),
    /// The signature is not the one that this request has.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    )]
    WrongSignature,
    /// The request would be refused, as were too many of its source before: why is not told any more.
    #[error("Rate exceeded")]
    TooManyRefused,
}

impl AccessError {
    /// The longest quotation of a client's own text in an error, in bytes.
    pub const QUOTE_BYTES_MAX: usize = 1024;

    /// The name of the exception that this is answered with.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::MissingToken => ErrorCode::MissingAuthenticationToken,
            Self::IncompleteHeader { .. }
            | Self::IncompleteQuery { .. }
            | Self::NotAPair { .. }
            | Self::UnsupportedAlgorithm(_)
            | Self::MalformedCredential(_)
            | Self::MalformedDate(_)
            | Self::MalformedExpiry(_) => ErrorCode::IncompleteSignature,
            Self::UnknownKey => ErrorCode::UnrecognizedClient,
            Self::ExpiredToken => ErrorCode::ExpiredToken,
            Self::WrongRegion
            | Self::WrongService(_)
            | Self::WrongTerminator(_)
            | Self::WrongDay { .. }
            | Self::Expired { .. }
            | Self::PresignedExpired { .. }
            | Self::NotYetCurrent { .. }
            | Self::HostNotSigned
            | Self::HeaderNotSigned(_)
            | Self::WrongSignature => ErrorCode::InvalidSignature,
            Self::TooManyRefused => ErrorCode::Throttling,
        }
    }

    /// `text` cut to the longest quotation.
    pub(crate) fn quote(text: &[u8]) -> String {
        String::from_utf8_lossy(&text[..text.len().min(Self::QUOTE_BYTES_MAX)]).into_owned()
    }
}
