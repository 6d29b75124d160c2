//! What peers send: frames of links and copies, and the changes of logs.

use bytes::Bytes;
use geodynamo_replicator_core::{Change, Frame, frame, join::CopyFrame};

use crate::bytes_to::byte;

pub(crate) fn run(mut bytes: &[u8]) {
    match byte(&mut bytes) % 3 {
        0 => {
            if let Ok(read) = frame::decode::<Frame>(bytes) {
                let again = frame::encode(&read).expect("a frame that was read is not too long");
                assert_eq!(
                    frame::decode::<Frame>(&again).expect("what was written can be read"),
                    read
                );
                if let Frame::Deltas { deltas, .. } = &read {
                    Frame::weight_of(deltas);
                }
            }
        }
        1 => {
            if let Ok(read) = frame::decode::<CopyFrame>(bytes) {
                let again = frame::encode(&read).expect("a frame that was read is not too long");
                assert_eq!(
                    frame::decode::<CopyFrame>(&again).expect("what was written can be read"),
                    read
                );
            }
        }
        _ => {
            if let Ok(read) = Change::decode(&Bytes::copy_from_slice(bytes)) {
                let again = Change::decode(&read.encode().into()).expect("what was written can be read");
                assert_eq!(again, read);
            }
        }
    }
}
