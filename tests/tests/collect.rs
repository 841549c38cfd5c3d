//! Collection against real SSH servers (OpenSSH, dropbear) on this machine, and against one
//! that misbehaves on purpose. Needs root and the packages named when one is missing.

mod collect {
    mod connecting;
    mod faults;
    mod lasting;
    mod logging_in;
    mod values;
}
