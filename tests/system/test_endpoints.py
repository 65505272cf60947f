"""What docs/security.md says of the engine's API that is used, for those who put a proxy before it, is all of it."""

import re
import signal
from pathlib import Path

from reconciler.model import labels
from tests.busybox_image import make_image
from tests.system.conftest import Operator, version
from tests.system.faults.proxy import Proxy, refused

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ROW = re.compile(r"^\| `((?:GET|HEAD|POST|PUT|DELETE) /[^`]*)` \|", re.MULTILINE)
NEVER_THERE = "docker.io/team/never-there:1"


def pattern(call: str) -> str:
    """The call as the page writes it: ids are `ID` already, and an image is `NAME`."""
    return re.sub(r"^(GET /images)/.+(/json)$", r"\1/NAME\2", call)


def live(operator: Operator, proxy: Proxy) -> set[str]:
    """All that happens to sandboxes: made, replaced, paused, renamed, ended, removed, and asked for their output.

    Returns the calls for which this engine gives no reason.
    """
    make_image(operator.engine.host, "sandbox:volume", ["VOLUME /data"])
    operator.declare("web", image="sandbox:volume")
    operator.declare("pulled", image=NEVER_THERE)
    proxy.on("POST /images/create", refused(404, "no such image"), times=100)
    with operator.run() as controller:
        operator.until_phase(web="Running", pulled="Backoff")
        operator.declare("web", image="sandbox:volume", **version("2"))
        operator.until(lambda: operator.versions() == {"web": "2"})
        operator.until_phase(web="Running")
        operator.api("POST", f"/containers/{operator.container('web')}/pause")
        operator.until(lambda: operator.inspect("web")["State"]["Status"] == "running")
        operator.api("POST", f"/containers/{operator.container('web')}/rename", {"name": f"other-{operator.instance}"})
        operator.until(lambda: proxy.calls.count("POST /containers/ID/rename"))
        controller.send_signal(signal.SIGHUP)  # sizes are asked for in each resync
        operator.until(lambda: proxy.calls.count("GET /system/df"))
        surplus = second_network(operator)
        operator.remove("web", "pulled")
        operator.until(lambda: operator.phases() == {} and proxy.calls.count("DELETE /networks/ID") == surplus)
        return set() if surplus else {"DELETE /networks/ID"}


def second_network(operator: Operator) -> int:
    """What two controllers that begin at the same moment can leave, unless the engine is Docker 25 or newer."""
    own = {labels.INSTANCE: operator.instance}
    try:
        operator.api("POST", "/networks/create", body={"Name": labels.network_name(operator.instance), "Labels": own})
    except RuntimeError as refused:
        if "already exists" in str(refused):
            return 0
        raise
    return 1


def test_the_page_names_every_call_of_the_api_and_no_other(operator: Operator) -> None:
    """A proxy that lets through what the table has hinders nothing, and lets through no more than is needed."""
    with Proxy(operator.engine.host, operator.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        needless = live(operator, proxy)
    assert set(map(pattern, proxy.calls)) | needless == set(ROW.findall(PAGE.read_text()))
