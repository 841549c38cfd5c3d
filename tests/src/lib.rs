//! Support for the end-to-end tests: a real hub, real peers, and waiting on conditions.
