//! Load for DynamoDB endpoints: signed requests over kept-alive connections, closed loop (as fast as the server answers)
//! or open loop (at a fixed rate, latencies from the moment a request was *due*, so that a slow server cannot hide its
//! queue), and a probe that times when a write becomes visible in another region.
//!
//! The client shares the machine with the server it measures, so it is made cheap: hand-made HTTP/1.1, hand-made SigV4
//! with the constant parts prepared, one thread for all connections by default. It knows DynamoDB's protocol, nothing of
//! geodynamo's code.

mod alarm;
pub mod client;
pub mod cluster;
pub mod generate;
pub mod load;
pub mod probe;
pub mod process;
pub mod report;
pub mod signer;
pub mod soak;
pub mod tables;
pub mod tls;
pub mod workload;
