//! What a registry wants of whoever asks: the `WWW-Authenticate` of its refusal.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// A way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with each request.
    Basic,
    /// A token that is given out at `realm`, perhaps for a name and a password.
    Bearer { realm: String, service: String },
}

impl Challenge {
    /// The best of what a refusal offers: tokens before passwords.
    pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|text| text.to_str().ok());
        let offers: Vec<Offer> = texts.flat_map(offers).collect();
        let offer = |scheme: &str| offers.iter().find(|offer| offer.scheme.eq_ignore_ascii_case(scheme));
        if let Some(bearer) = offer("bearer")
            && let Some(realm) = bearer.parameter("realm")
        {
            let service = bearer.parameter("service").unwrap_or_default();
            return Some(Challenge::Bearer { realm, service });
        }
        offer("basic").map(|_| Challenge::Basic)
    }
}

struct Offer {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Offer {
    fn parameter(&self, name: &str) -> Option<String> {
        let found = self.parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
}

/// `Scheme name=value, name="value", Scheme …`: a word is a scheme unless an equals sign follows it.
fn offers(text: &str) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return offers;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            offers.push(Offer { scheme: word.to_owned(), parameters: Vec::new() });
            rest = after;
            continue;
        };
        let (value, after) = value_of(value.trim_start());
        if let Some(offer) = offers.last_mut() {
            offer.parameters.push((word.to_owned(), value));
        }
        rest = after;
    }
}

/// A quoted value or a bare one, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                escaped = false;
                value.push(character);
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: &str| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.to_owned() })
        };
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
        assert_eq!(read(&[docker]), bearer("https://auth.docker.io/token", "registry.docker.io"));
        let commas = r#"bearer scope="repository:a:pull,push", service=s,realm="https://a/?x=1,2""#;
        assert_eq!(read(&[commas]), bearer("https://a/?x=1,2", "s"));
        assert_eq!(read(&[r#"Basic realm="here", Bearer realm="https://a""#]), bearer("https://a", ""));
        assert_eq!(read(&["Basic realm=\"a\"", docker]), read(&[docker]));
        assert_eq!(read(&["BASIC"]), Some(Challenge::Basic));
        for none in [&[][..], &["Negotiate"], &["Bearer service=x"], &["=,=\"", "\"Basic"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
