//! Who is calling: AWS Signature Version 4, verified on every request, and the principals it yields.
//!
//! [`Verifier::verify`] takes what came over the wire and the time, and gives a [`Principal`] or an [`AccessError`] with
//! DynamoDB's own name and text. [`Signer`] is the other side, for this project's load generator;
//! [`RequestSigner`] signs what a region asks of other services.
//!
//! Specification: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! Nothing here reads a clock, a file or the network: time and keys are passed in.

mod canonical;
mod claim;
mod error;
mod hash;
mod keys;
mod refused;
mod sign;
mod sign_request;
mod signing_key;
mod time;
mod verify;

pub use crate::{
    error::{AccessError, ErrorCode},
    hash::derive_secret,
    keys::{Credential, CredentialSource, KeyError, Keys, KnownKey},
    refused::RefusedBySource,
    sign::{Signature, Signer},
    sign_request::{RequestSigner, Unsigned},
    time::{format_iso8601, parse_iso8601},
    verify::{Mode, Principal, Request, Verified, Verifier},
};

/// The services that are answered, as credential scopes name them.
pub const SERVICES: [&str; 6] = [SERVICE, "iam", "sts", LAMBDA, BACKUP, ADMIN];

/// The service name of event source mappings.
pub const LAMBDA: &str = "lambda";

/// The service name of AWS Backup.
pub const BACKUP: &str = "backup";

/// The admin port's name in credential scopes. Whoever asks it need not know its region: any is taken.
pub const ADMIN: &str = "geodynamo";

/// The region that credential scopes of global services name, whichever region answers.
pub const GLOBAL_REGION: &str = "us-east-1";

/// The service name in the credential scope, for both the tables' and the streams' endpoint.
pub const SERVICE: &str = "dynamodb";

/// How far a request's date may be from the region's clock, before or after, in seconds.
///
/// AWS uses 5 to 15 minutes, depending on the service; 15 is what the signing documentation promises.
pub const CLOCK_WINDOW_S: i64 = 15 * 60;

/// The longest validity that a presigned request may ask for, in seconds (seven days, as AWS has it).
pub const PRESIGNED_VALIDITY_S_MAX: i64 = 7 * 24 * 3600;
