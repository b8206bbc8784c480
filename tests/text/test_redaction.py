"""No secret of a URL survives; a URL without secrets is unchanged."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from allennlp_analyze.text.redaction import MARK, redacted, redacted_in, redacted_url

pytestmark = pytest.mark.newest_python

# Letters that occur nowhere else in the URLs below, so that a single one shows a leak.
SECRET = st.text("QXZ9%$!*_~.-", min_size=4, max_size=30).filter(lambda t: set(t) & set("QXZ9"))
ENCODED = st.text(max_size=20).map(lambda t: quote(f"QQQQ{t}QQQQ", safe=""))
SCHEMES = st.sampled_from(["http", "https", "s3", "gs", "hf", "HTTP", "tcp"])
HOSTS = st.sampled_from(["a.org", "127.0.0.1:80", "[::1]:8080", "localhost", "x-y.co.uk:443"])
PATHS = st.sampled_from(
    ["", "/", "/m.tar.gz", "/a/b.c/m.th", "/@scope/pkg", "/a;b/c", "/ü/é", "/%40"]
)
NAMES = st.sampled_from(["token", "sig", "amz-signature", "key", "auth", "p[0]", "a_b"])
HARMLESS = st.sampled_from(
    [
        "download",
        "download=1",
        "raw=true",
        "revision=main",
        "ref=refs/heads/main",
        "v=1.2.0",
        "dl=1",
    ]
)


@st.composite
def secret_urls(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A URL, and its secrets."""
    secrets = draw(st.lists(st.one_of(SECRET, ENCODED), min_size=3, max_size=3))
    user, password, value = secrets
    kind = draw(st.integers(0, 4))
    user_part = ["", f"{user}@", f"{user}:{password}@", f":{password}@", f"{user}:@"][kind]
    name = draw(NAMES)
    tails = ["", f"?{name}={value}", f"?{value}", f"#{value}", f"?v=1&{name}={value}#{value}"]
    tails += [f"?{name}={value};{name}={value}", f"?{value}==", f"?url=http://{user}:{password}@b"]
    tails += [f";{name}={value}", f"?download&{name}=?{value}", f"?v={value}%20"]
    url = f"{draw(SCHEMES)}://{user_part}{draw(HOSTS)}/m{draw(st.sampled_from(tails))}"
    return url, secrets


def leaks(text: str) -> set[str]:
    return set(text) & set("QXZ9")


@given(secret_urls())
def test_no_secret_survives(drawn: tuple[str, list[str]]) -> None:
    url, _ = drawn
    assert not leaks(redacted_url(url))
    assert urlsplit(redacted_url(url)).username is None
    assert urlsplit(redacted_url(url)).hostname == urlsplit(url).hostname
    assert urlsplit(redacted_url(url)).port == urlsplit(url).port


@given(
    secret_urls(),
    secret_urls(),
    st.sampled_from(["{}", "'{}'", "({})", "error: {}: not found", "a={}."]),
)
def test_nor_does_it_in_a_text(
    one: tuple[str, list[str]], two: tuple[str, list[str]], frame: str
) -> None:
    text = f"{frame.format(one[0])} and {frame.format(two[0])}\n{two[0]},{one[0]}"
    assert not leaks(redacted(text))
    assert not leaks(str(redacted_in({"a": [text, 1, None, {"b": text}]})))


@given(SCHEMES, HOSTS, PATHS, st.lists(HARMLESS, max_size=3))
def test_a_harmless_url_is_unchanged(scheme: str, host: str, path: str, items: list[str]) -> None:
    url = f"{scheme}://{host}{path}" + (f"?{'&'.join(items)}" if items else "")
    assert redacted_url(url) == url
    assert redacted(f"{url}: not found (status 404)") == f"{url}: not found (status 404)"


@given(secret_urls())
def test_the_names_of_parameters_stay(drawn: tuple[str, list[str]]) -> None:
    before = parse_qsl(urlsplit(drawn[0]).query, separator="&")
    after = dict(parse_qsl(urlsplit(redacted_url(drawn[0])).query, separator="&"))
    named = [name for name, _ in before if name in ("token", "sig", "amz-signature", "a_b")]
    assert all(after[name].startswith(MARK) for name in named)


ODD = st.one_of(st.text(max_size=60), st.text("ahtps:/@?#&;=.[] \n%x0", max_size=40))


@given(ODD)
@settings(max_examples=200)
@example("http://a:@//u:p@h/")
@example("http://[::1")
@example("http://user:pa/ss@host/x")
@example("http://us://er:pw@host/")
@example("http:u:p@h")
@example("\ud800://\udfff@")
@example("'/http://=K@https;//##?,,")
def test_odd_text_is_taken_as_it_is(text: str) -> None:
    for redact in (redacted, redacted_url):
        once = redact(text)
        assert redact(once) == once
        assert redact(f"http://{text}") == redact(redact(f"http://{text}"))


@given(st.text(st.characters(exclude_characters="/"), max_size=60))
def test_a_text_without_a_slash_is_unchanged(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "http://user:s3cret@h:80/m?X-Amz-Signature=ab&v=2",
            "http://h:80/m?X-Amz-Signature=...&v=2",
        ),
        ("http://user:s3/cr@et@h/m", "http://h/m"),
        ("http://user:s3/cret@h/m", "http://h/m"),
        ("http://h:s3cret/m", "http://h:.../m"),
        ("http://h/m?s3cret", "http://h/m?..."),
        ("http://h/m?revision=s3cret with spaces", "http://h/m?revision=..."),
        ("http://h/m#s3cret", "http://h/m#..."),
        ("http://h/m.tar.gz;jsessionid=s3cret?v=1", "http://h/m.tar.gz;jsessionid=...?v=1"),
        ("https://h/save/http://u:s3cret@h/x", "https://h/save/http://h/x"),
        ("http:/u:s3cret@h/x", "http:/h/x"),
        (" http://u:s3cret@h/x", " http://h/x"),
        ("see http://u:s3cret@h/x", "see http://h/x"),
        ("models/a@b?c=d.tar.gz", "models/a@b?c=d.tar.gz"),
        ("", ""),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert redacted_url(url) == shown


def test_the_path_and_query_of_a_library_are_redacted() -> None:
    text = "Max retries exceeded with url: /m.tar.gz?token=s3cret&v=1 (Caused by x)"
    assert redacted(text) == "Max retries exceeded with url: /m.tar.gz?token=...&v=1 (Caused by x)"


def test_a_long_text_takes_no_long_time() -> None:
    for text in ("a" * 10**6, "a://" * 10**5, "http://" + "@" * 10**5, ";a=" * 10**5, "/?" * 10**5):
        assert isinstance(redacted(text), str)
        assert isinstance(redacted_url(f"http://{text}"), str)
