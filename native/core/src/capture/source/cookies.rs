// SPDX-License-Identifier: Apache-2.0
//! The cookies of a source's servers. libav connects to addresses, and cannot tell which server a cookie is for.

/// Lines as servers have set them, each with the host that did.
#[derive(Debug, Default)]
pub struct Cookies {
    kept: Vec<(String, String)>,
}

/// More than any server sets; a hostile one goes on setting them.
const MOST: usize = 64;

impl Cookies {
    /// Keeps what a host has set, a line each. libav hands out what it was given together with what is new.
    pub fn keep(&mut self, host: &str, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let name = name(line);
            if self.kept.iter().any(|(_, known)| without_domain(known) == without_domain(line)) {
                continue;
            }
            self.kept.retain(|(from, known)| !(from.eq_ignore_ascii_case(host) && self::name(known) == name));
            if self.kept.len() < MOST {
                self.kept.push((host.to_owned(), line.to_owned()));
            }
        }
    }

    /// What the host is to be reminded of, in libav's form.
    pub fn lines_for(&self, host: &str) -> String {
        let meant = self.kept.iter().filter(|(from, line)| is_for(host, from, domain(line)));
        meant.flat_map(|(_, line)| [without_domain(line), "\n".to_owned()]).collect()
    }
}

fn name(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

fn domain(line: &str) -> Option<&str> {
    let mut attributes = line.split(';').skip(1).filter_map(|attribute| attribute.split_once('='));
    let (_, domain) = attributes.find(|(name, _)| name.trim().eq_ignore_ascii_case("domain"))?;
    Some(domain.trim().trim_start_matches('.')).filter(|domain| !domain.is_empty())
}

/// libav would compare it with the address.
fn without_domain(line: &str) -> String {
    let is_domain = |part: &&str| part.split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("domain"));
    let parts: Vec<&str> = line.split(';').filter(|part| !is_domain(part)).collect();
    parts.join(";")
}

fn is_for(host: &str, from: &str, domain: Option<&str>) -> bool {
    let within = |host: &str, domain: &str| {
        let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
        host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    };
    match domain {
        // Of a whole country, nobody may set one.
        Some(domain) => domain.contains('.') && within(host, domain) && within(from, domain),
        None => host.eq_ignore_ascii_case(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_to_the_host_that_set_it_or_to_its_domain() {
        let mut cookies = Cookies::default();
        cookies.keep("www.cdn.example", "pass=27; Path=/; Domain=.cdn.example\nown=1; Path=/");
        cookies.keep("evil.example", "theirs=1; Domain=cdn.example\nall=1; Domain=example");
        assert_eq!(cookies.lines_for("media.cdn.example"), "pass=27; Path=/\n");
        assert_eq!(cookies.lines_for("www.cdn.example"), "pass=27; Path=/\nown=1; Path=/\n");
        assert_eq!(cookies.lines_for("evil.example"), "");
        assert_eq!(cookies.lines_for("notcdn.example"), "");
    }

    #[test]
    fn what_libav_hands_back_is_not_taken_for_another_hosts() {
        let mut cookies = Cookies::default();
        cookies.keep("a.example", "pass=1; Path=/");
        cookies.keep("b.example", "pass=1; Path=/\nb=2");
        assert_eq!(cookies.lines_for("b.example"), "b=2\n");
        cookies.keep("a.example", "pass=2; Path=/");
        assert_eq!(cookies.lines_for("a.example"), "pass=2; Path=/\n", "a new value replaces the old");
        (0..1000).for_each(|index| cookies.keep("c.example", &format!("{index}=1")));
        assert_eq!(cookies.kept.len(), MOST);
    }
}
