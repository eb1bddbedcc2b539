"""The command line's own part: where an archive's login comes from."""

import pytest
from instageo_plugin.core.archive.access import Credentials
from instageo_plugin.core.cli import secrets_of

HOME = "https://archive.example/stac"


@pytest.mark.parametrize(
    ("environment", "login", "headers"),
    [
        ({"INSTAGEO_AUTH_USERNAME": "maria", "INSTAGEO_AUTH_PASSWORD": "x y"}, ("maria", "x y"), {}),
        ({"INSTAGEO_AUTH_TOKEN": "t0ken"}, None, {"Authorization": "Bearer t0ken"}),
        ({"INSTAGEO_AUTH_USERNAME": "", "USERNAME": "maria"}, None, {}),
    ],
)
def test_a_login_comes_from_the_environment(environment, login, headers):
    credentials = Credentials(HOME, secrets_of(environment))
    assert credentials.login == login
    assert credentials.headers == headers
