//! Nothing but the test `generated`, which makes `proto/src/generated` and checks it.
