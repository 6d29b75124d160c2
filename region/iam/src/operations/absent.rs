//! What clients ask for that no principal here has: passwords, multi-factor devices, certificates, instance profiles.

use crate::{
    call::Context,
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::Structure,
    },
};

pub(super) fn answer(cx: &Context<'_>) -> Result<Structure> {
    let list = match cx.operation {
        "ListInstanceProfiles" => "InstanceProfiles",
        "ListInstanceProfilesForRole" => {
            cx.held(Kind::Role)?;
            "InstanceProfiles"
        }
        "ListMFADevices" => "MFADevices",
        "ListVirtualMFADevices" => "VirtualMFADevices",
        "ListSSHPublicKeys" => "SSHPublicKeys",
        "ListServiceSpecificCredentials" => "ServiceSpecificCredentials",
        "ListSigningCertificates" => "Certificates",
        "GetLoginProfile" | "DeleteLoginProfile" => {
            let name = cx.input.text("UserName").or(cx.call.caller.user_name.as_deref());
            let name = name.unwrap_or("root");
            if name != "root" {
                cx.held_named(Kind::User, name)?;
            }
            return Err(IamError::no_such(format!(
                "Login Profile for User {name} cannot be found."
            )));
        }
        other => return Err(IamError::internal(format!("{other} is offered and not answered"))),
    };
    if let Some(name) = cx.input.text("UserName") {
        cx.held_named(Kind::User, name)?;
    }
    Ok(Structure::new()
        .with(list, Vec::<Structure>::new())
        .with("IsTruncated", false))
}
