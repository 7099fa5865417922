"""The one screen that `forma up` prints."""

from dataclasses import dataclass
from pathlib import Path

from cli.sandbox_seed import SandboxSeed
from kit.settings import Settings


@dataclass(frozen=True)
class ModelState:
    """What answers: simulated or not, the models' names, and what their servers have wrong."""

    simulated: bool
    names: tuple[str, ...]
    problems: tuple[str, ...]


def screen(
    settings: Settings, *, data_dir: Path, seeded: SandboxSeed | None, model: ModelState, shop_simulated: bool
) -> str:
    """Return what a newcomer must know: where to look, who is admin, what is simulated and how it becomes real."""
    health = f"http://{settings.http_host}:{settings.http_port}/health"
    lines = ["", "Forma is running.  Ctrl-C stops everything and loses nothing.", ""]
    if seeded:
        lines += [
            f"  Chat      {seeded.url}/   (Гость writes Russian, Guest English)",
            "  Admin     Оператор, in the group «Forma: операторская»; try /stats there",
        ]
    else:
        lines += [
            f"  Bot       {settings.bot_id}, by {settings.telegram_mode}",
            f"  Admin     group {settings.admin_chat_id}"
            if settings.admin_chat_id
            else "  Admin     nobody yet: add the bot to a private group, and it says what to set there",
        ]
    if not model.simulated:
        lines.append(f"  Model     {', '.join(model.names)}")
        where = "FORMA_MODEL_URL" if settings.model_url else str(settings.models_file)
        lines += [f"            ! {problem} (see {where})" for problem in model.problems]
    lines += [f"  Health    {health}", f"  Data      {data_dir}", ""]
    simulated = []
    if seeded:
        simulated.append(("Telegram and Stars", "FORMA_BOT_TOKEN, from @BotFather (README: A real bot)"))
    if model.simulated:
        simulated.append(("the model", "FORMA_MODEL_URL and FORMA_MODEL_NAME, or models.toml"))
    if shop_simulated:
        simulated.append(("YooKassa", "FORMA_YOOKASSA_SHOP_ID and FORMA_YOOKASSA_SECRET_KEY (docs/operator.md)"))
    if simulated:
        lines.append("  Simulated here, and what makes it real:")
        lines += [f"    {what:<20}{how}" for what, how in simulated]
        lines.append("")
    return "\n".join(lines)
