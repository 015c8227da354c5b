//! Who the command runs as: a user of the image, by its /etc/passwd and /etc/group.
//!
//! `NAME`, `UID`, `NAME:GROUP`, `UID:GID` and any mixture, as the config of an image has it (the OCI image specification,
//! "User"). A number needs no entry. Both files come from an image: what is not understood in them is passed over.

#[cfg(test)]
mod tests;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// The home directory, if the image says one.
    pub home: Option<String>,
}

/// Why there is nobody like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No such user.
    #[error("there is no user '{}' in /etc/passwd of the image", .0.escape_debug())]
    NoUser(String),
    /// No such group.
    #[error("there is no group '{}' in /etc/group of the image", .0.escape_debug())]
    NoGroup(String),
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks up who `wanted` is; nobody asked for is root.
///
/// # Errors
/// A name that is in neither file.
pub fn find(wanted: Option<&str>, passwd: &str, group: &str) -> Result<Account, AccountError> {
    let (user, wanted_group) = match wanted.unwrap_or_default().split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wanted.unwrap_or_default(), None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let found = users(passwd).find(|entry| entry.name == user || Some(entry.uid) == number);
    let uid = match (&found, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(number)) => number,
        (None, None) => return Err(AccountError::NoUser(user.to_owned())),
    };
    let home = found.as_ref().map(|entry| entry.home.to_owned()).filter(|home| !home.is_empty());
    if let Some(name) = wanted_group {
        let number: Option<u32> = name.parse().ok();
        let entry = groups(group).find(|entry| entry.name == name || Some(entry.gid) == number);
        let gid = entry.map(|entry| entry.gid).or(number);
        // Who names a group has that one only.
        return match gid {
            Some(gid) => Ok(Account { uid, gid, groups: Vec::new(), home }),
            None => Err(AccountError::NoGroup(name.to_owned())),
        };
    }
    let Some(entry) = found else { return Ok(Account { uid, gid: 0, groups: Vec::new(), home }) };
    let is_member = |group: &Group<'_>| group.members.split(',').any(|member| member == entry.name);
    let mut more: Vec<u32> =
        groups(group).filter(is_member).map(|group| group.gid).filter(|gid| *gid != entry.gid).collect();
    more.sort_unstable();
    more.dedup();
    Ok(Account { uid, gid: entry.gid, groups: more, home })
}

/// passwd(5): NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL
fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(User { name, uid, gid, home })
    })
}

/// group(5): NAME:PASSWORD:GID:MEMBER,MEMBER
fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}
