//! `gander-agent enroll`: a token for a certificate.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::say;
use crate::{
    address::Address,
    identity::{Fingerprint, Pending, new_key},
    link::enrol::{Enrolment, enrol},
    state::StateDir,
};

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub(super) struct Enroll {
    /// The hub's address for agents (its gRPC port)
    #[arg(long, value_name = "HOST:PORT")]
    hub: Address,
    /// The token the hub showed [environment: GANDER_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The SHA-256 fingerprint of the hub's authority, as it showed it beside the token
    #[arg(long, value_name = "FINGERPRINT")]
    ca: Fingerprint,
    /// Though this machine is enrolled already: forget that and enrol anew
    #[arg(long)]
    again: bool,
}

impl Enroll {
    pub(super) async fn run(self, state: &StateDir) -> anyhow::Result<ExitCode> {
        let token = match self.token {
            Some(token) => token,
            None => std::env::var("GANDER_TOKEN").context(
                "there is no token: give --token TOKEN or set GANDER_TOKEN; the hub shows one under \"Add an agent\"",
            )?,
        };
        state.make()?;
        // A damaged identity is no obstacle to a new one.
        if let (Ok(Some(identity)), false) = (state.identity(), self.again) {
            bail!(
                "this machine is enrolled with {} as {} already; to enrol it anew add --again",
                identity.hub,
                identity.server_name
            );
        }
        let pending = Pending {
            hub: self.hub,
            ca: self.ca,
            token: token.trim().to_owned(),
            key: new_key()?,
        };
        // Before the token is used up: what cannot be kept must not be asked for.
        state.put_pending(&pending)?;
        match enrol(&pending).await {
            Ok(Enrolment::Enrolled(identity)) => {
                state.put_identity(&identity)?;
                say(&format!(
                    "enrolled with {} as {}",
                    identity.hub, identity.server_name
                ));
                Ok(ExitCode::SUCCESS)
            }
            Ok(Enrolment::Waiting { reason, .. }) => {
                say(&format!("waiting for a person at the hub: {reason}"));
                say("The running agent asks again by itself; nothing else is to be done here.");
                Ok(ExitCode::SUCCESS)
            }
            Ok(Enrolment::Refused { reason }) => {
                state.drop_pending()?;
                bail!("the hub refuses the token: {reason}")
            }
            Err(error) => {
                state.drop_pending()?;
                bail!("{}: {error}", pending.hub)
            }
        }
    }
}
