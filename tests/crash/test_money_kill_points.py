"""The process is killed at a commit or an outbound call of a flow of money, one point a run.

Each kill is SIGKILL of a real process (tests.support.kill_points). After the restart the books are sound and agree with
the provider's, each charge is credited exactly once, and its person was told. `make test` takes a few of the points,
others each time (FORMA_TEST_SEED repeats a choice); `make test-money` takes all of them.
"""

import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

import sandbox.shop.server
from cli import compose
from kit import settings
from sandbox.shop.state import SECRET_KEY_DEFAULT, SHOP_ID_DEFAULT
from tests.crash.questions import QUICK_LEASE_S, STEADY
from tests.support import auditor, figures, shop
from tests.support import card_flows as cards
from tests.support import money_flows as flows
from tests.support import rouble_flows as roubles
from tests.support.kill_points import KILL_DIR_ENV, kill_file, killed_file
from tests.support.money_flows import Flow, Scene
from tests.support.roubles import Browser, free_port
from tests.support.shop_driver import SandboxShop
from tests.support.stack import stack
from tests.support.telegram import Person

# A flow has some dozen points; a longer one has lost its way.
POINTS_MAX = 200
SAMPLE = 1
ALL_TIMEOUT_S = 3_600
ADMIN_GROUP = -5000
TAKEN = "SELECT count(*) FROM payments WHERE payer_id = :id AND status IN ('succeeded', 'refunded', 'charged_back')"
# Lots that nobody paid for, but what is new to everybody.
GIVEN = """
    SELECT count(*) FROM lots l JOIN accounts a ON a.id = l.account_id
    WHERE a.person_id = :id AND l.kind IN ('trial', 'promo')
"""
# Payments whose money went back otherwise than once, or without all the tokens that they had brought.
BACK_OTHERWISE = """
    SELECT p.id FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id AND r.status = 'succeeded'
    WHERE p.payer_id = :id AND p.status IN ('refunded', 'charged_back')
    GROUP BY p.id HAVING count(r.id) <> 1 OR sum(r.tokens_taken) IS DISTINCT FROM (
        SELECT coalesce(sum(l.granted), 0) FROM lots l WHERE l.payment_id = p.id
    )
"""


@pytest.fixture(scope="module")
async def scene(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Scene]:
    server = await sandbox.shop.server.start()
    chosen = {
        "admin_chat_id": ADMIN_GROUP,
        "http_port": free_port(),
        "yookassa_shop_id": SHOP_ID_DEFAULT,
        "yookassa_secret_key": SECRET_KEY_DEFAULT,
        "yookassa_api_url": server.api_url,
        "yookassa_networks": "127.0.0.1",
        "yookassa_in_chat": True,
    }
    with tempfile.TemporaryDirectory(prefix="forma-kill-") as home:
        async with (
            stack(
                database_url,
                redis_url,
                start=("bot", "worker", "web"),
                lease_s=QUICK_LEASE_S,
                model_options=STEADY,
                module="tests.support.kill_points",
                environment={KILL_DIR_ENV: home},
                **chosen,
            ) as running,
            SandboxShop(server.base_url) as driver,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        ):
            servers = {"database_url": database_url, "redis_url": redis_url, "model_url": running.model.base_url}
            telegram = {"telegram_api_url": running.tg.base_url, "model_name": compose.SANDBOX_MODEL}
            async with compose.open_app(settings.load(_env_file=None, **(servers | telegram | chosen))) as sweeper:
                await driver.settings(notification_url=f"{sweeper.settings.site_url}/yookassa/notifications")
                operator = await running.tg.person(first_name="Оператор", language_code="ru")
                group = await running.tg.group(
                    title="Op", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator"
                )
                running.keep()
                yield Scene(running, driver, Browser(session), sweeper, group, operator)
    await server.close()


async def one_run(
    scene: Scene, flow: Flow, before: Flow, process: str, number: int, charges: int, given: int = 0
) -> str:
    """Run a flow in which the process is killed at its point `number`; returns what it was, '' if there are fewer.

    `process`: "bot", or "worker:send_refunds" for the points of one job. `charges`: how many the person has paid by the
    end; `given`: how many lots they have got for nothing.
    """
    forma = scene.stack
    [person] = await forma.persons(1, "ru")
    await before(scene, person)
    await forma.settled()
    home = Path(forma.environment[KILL_DIR_ENV])
    process, _, job = process.partition(":")
    killed_file(home, process).unlink(missing_ok=True)
    kill_file(home, process).write_text(f"{number} {job}")
    try:
        await flow(scene, person)
        await forma.settled(timeout_s=60)
    except TimeoutError as error:
        raise AssertionError(f"point {number}: {error}; open: {await forma.open_work()}\n{forma.tails()}") from None
    kill_file(home, process).unlink(missing_ok=True)
    where = killed_file(home, process).read_text() if killed_file(home, process).exists() else ""
    await forma.assert_sound()
    assert await forma.scalar(TAKEN, id=person.id) == charges, (number, where)
    assert await forma.scalar(GIVEN, id=person.id) == given, (number, where)
    assert await forma.rows(BACK_OTHERWISE, id=person.id) == [], (number, where)
    if words := roubles.TOLD.get(flow) or cards.TOLD.get(flow):
        # A message that a kill cut off from its answer is sent again; nobody else doubles one.
        assert 1 <= len(shop.said(person, words)) <= (2 if process == "bot" and where else 1), (number, where)
    apart = await auditor.of_telegram(forma.tg, forma.db) + await auditor.of_the_shop(scene.shop, forma.db)
    assert apart == [], (number, where)
    await leave(scene, person)
    await forma.settled()
    return where


async def leave(scene: Scene, person: Person) -> None:
    """Nobody is charged in the runs that follow."""
    if await scene.stack.scalar(cards.METHOD, id=person.id):
        await cards.remove_card(scene, person)
    for one in await person.subscriptions():
        if one["state"] == "active":
            await person.cancel_subscription(one["id"])


FLOWS = [
    pytest.param(flows.buy_pack, flows.nothing, "bot", 1, 0, id="a pack"),
    pytest.param(flows.buy_plan, flows.nothing, "bot", 1, 0, id="a subscription"),
    pytest.param(flows.renew, flows.buy_plan, "bot", 2, 0, id="a renewal"),
]
# One of these in each `make test`.
MORE_FLOWS = [
    pytest.param(flows.refund_own, flows.buy_pack, "bot", 1, 0, id="a refund by the rule"),
    pytest.param(flows.refund_by_operator, flows.buy_pack, "bot", 1, 0, id="a refund by the operator"),
    pytest.param(flows.refund_by_provider, flows.buy_pack, "bot", 1, 0, id="a refund past Forma"),
    pytest.param(flows.change_up, flows.buy_plan, "bot", 2, 0, id="a better plan"),
    pytest.param(flows.change_down, flows.buy_plan, "bot", 1, 0, id="a cheaper plan"),
    pytest.param(flows.reconcile, flows.pay_unheard, "bot", 1, 0, id="a reconciliation"),
    pytest.param(flows.give, flows.nothing, "bot", 1, 0, id="a gift bought"),
    pytest.param(flows.take_gift, flows.give_to_a_friend, "bot", 1, 0, id="a gift taken"),
    pytest.param(flows.take_gift_back, flows.give, "bot", 1, 0, id="a gift withdrawn"),
    pytest.param(flows.try_for_free, flows.nothing, "bot", 0, 1, id="a trial"),
    pytest.param(flows.redeem_code, flows.code_is_made, "bot", 0, 1, id="a promo code"),
    pytest.param(flows.pay_roubles, flows.nothing, "web", 1, 0, id="roubles on the page"),
    pytest.param(roubles.refund_own, flows.pay_roubles, "bot", 1, 0, id="roubles back by the rule"),
    pytest.param(roubles.refund_own, flows.pay_roubles, "worker:send_refunds", 1, 0, id="roubles sent back"),
    pytest.param(roubles.refund_by_operator, flows.pay_roubles, "bot", 1, 0, id="roubles back by the operator"),
    pytest.param(roubles.refund_later, flows.pay_roubles, "worker:follow_yookassa", 1, 0, id="roubles back later"),
    pytest.param(roubles.refund_in_cabinet, flows.pay_roubles, "worker:follow_yookassa", 1, 0, id="a cabinet's refund"),
    pytest.param(roubles.reconcile, roubles.lose_words, "bot", 2, 0, id="a reconciliation of roubles"),
    pytest.param(roubles.charge_back, flows.pay_roubles, "bot", 1, 0, id="roubles taken back by a bank"),
    pytest.param(cards.subscribe, flows.nothing, "web", 1, 0, id="a card kept"),
    pytest.param(cards.renew, cards.subscribe, "worker:roubles", 2, 0, id="a renewal by card"),
    pytest.param(cards.fail_once, cards.subscribe, "worker:roubles", 2, 0, id="a declined card"),
    pytest.param(cards.remove_card, cards.subscribe, "bot", 1, 0, id="a card removed"),
    pytest.param(cards.cancel, cards.subscribe, "bot", 1, 0, id="a card's plan cancelled"),
    pytest.param(cards.resume, cards.subscribe_and_cancel, "bot", 1, 0, id="a card's plan resumed"),
]
# The worker's schedules come once a minute: too slow for `make test`.
SLOW_FLOWS = [
    pytest.param(flows.reminded, flows.buy_plan, "worker:every_minute", 1, 0, id="a reminder"),
    pytest.param(flows.pay_roubles, flows.nothing, "worker:follow_yookassa", 1, 0, id="roubles credited"),
    # Two points: the page takes down that a notification has come.
    pytest.param(roubles.refund_later, flows.pay_roubles, "web", 1, 0, id="a refund's notification"),
]


@pytest.mark.parametrize(("flow", "before", "process", "charges", "given"), FLOWS)
async def test_some_points(
    scene: Scene,
    flow: Flow,
    before: Flow,
    process: str,
    charges: int,
    given: int,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("seed", seed := _seed())
    # Every flow passes at least so many points; which one it is shows in a failure.
    for number in random.Random(seed).sample(range(1, 9), SAMPLE):
        assert await one_run(scene, flow, before, process, number, charges, given), f"seed {seed}: no point {number}"


async def test_a_point_of_another_flow(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    record_property("seed", seed := _seed())
    dice = random.Random(seed)
    flow, before, process, charges, given = dice.choice(MORE_FLOWS).values
    number = dice.randrange(1, 5)
    assert await one_run(scene, flow, before, process, number, charges, given), f"seed {seed}: no point {number}"


def _seed() -> int:
    return int(os.environ.get("FORMA_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.money
@pytest.mark.timeout(ALL_TIMEOUT_S)
@pytest.mark.parametrize(("flow", "before", "process", "charges", "given"), [*FLOWS, *MORE_FLOWS, *SLOW_FLOWS])
async def test_all_points(scene: Scene, flow: Flow, before: Flow, process: str, charges: int, given: int) -> None:
    passed = []
    for number in range(1, POINTS_MAX):
        where = await one_run(scene, flow, before, process, number, charges, given)
        if not where:
            break
        passed.append(where)
    else:
        raise AssertionError(f"more than {POINTS_MAX} points: {passed}")
    assert passed
    figures.add(kill_points=len(passed))
