"""Settings, all by environment (prefix FORMA_) or a .env file; each has its line in .env.example."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kit.addresses import Network, networks
from kit.errors import Misconfigured

TELEGRAM_API_URL = "https://api.telegram.org"
YOOKASSA_API_URL = "https://api.yookassa.ru/v3"
# Where YooKassa's notifications come from: https://yookassa.ru/developers/using-api/webhooks
YOOKASSA_NETWORKS = (
    "185.71.76.0/27,185.71.77.0/27,77.75.153.0/25,77.75.156.11,77.75.156.35,77.75.154.128/25,2a02:5180::/32"
)


class Settings(BaseSettings):
    """What an operator may set. Empty strings count as unset, as they stand in a copied .env.example."""

    model_config = SettingsConfigDict(
        env_prefix="FORMA_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    bot_token: SecretStr = SecretStr("")
    telegram_api_url: str = TELEGRAM_API_URL
    telegram_proxy: str = ""
    telegram_mode: Literal["polling", "webhook"] = "polling"
    public_url: str = ""
    chat_url: str = ""
    telegram_webhook_secret: SecretStr = SecretStr("")
    admin_chat_id: int = 0
    admin_language: Literal["ru", "en"] = "ru"

    group_names: str = ""

    database_url: str = ""
    redis_url: str = ""
    data_dir: Path | None = None

    models_file: Path = Path("models.toml")
    plans_file: Path = Path("plans.toml")
    model_url: str = ""
    model_name: str = ""
    model_reasoning_parser: str = ""
    model_key: SecretStr = SecretStr("")
    model_first_token_s: float = Field(120.0, ge=1, le=3_600)
    model_silence_s: float = Field(30.0, ge=1, le=600)

    yookassa_shop_id: str = ""
    yookassa_secret_key: SecretStr = SecretStr("")
    yookassa_api_url: str = YOOKASSA_API_URL
    yookassa_in_chat: bool = False
    yookassa_receipts: Literal["54fz", "npd", "none"] = "none"
    yookassa_vat: Literal["none", "0", "5", "7", "10", "standard"] = "none"
    yookassa_networks: str = YOOKASSA_NETWORKS

    trusted_proxies: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=1, le=65535)
    sandbox_port: int = Field(8081, ge=1, le=65535)
    sandbox_model_port: int = Field(8082, ge=1, le=65535)
    sandbox_shop_port: int = Field(8083, ge=1, le=65535)

    preview: Literal["draft", "edit", "off"] = "draft"
    support_contact: str = ""
    refund_hours: int = Field(72, ge=0, le=720)
    refund_percent: int = Field(20, ge=0, le=100)
    invite_tokens: int = Field(100_000, ge=0, le=10_000_000)
    invite_friend_tokens: int = Field(30_000, ge=0, le=10_000_000)
    invites_month_max: int = Field(20, ge=0, le=10_000)
    links_allowed: str = ""
    worker_slots: int = Field(64, ge=1, le=512)
    house_calls: int = Field(2, ge=0, le=16)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "text"

    @field_validator("telegram_api_url", "public_url", "chat_url", "model_url", "yookassa_api_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://", "postgresql+asyncpg://")):
            raise ValueError("must look like postgresql://user:password@host/database")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must look like redis://host:6379/0")
        return value

    @field_validator("telegram_proxy")
    @classmethod
    def _proxy_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "socks5://", "socks4://")):
            raise ValueError("must start with http://, socks5:// or socks4://")
        return value

    @field_validator("yookassa_networks", "trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        networks(value)
        return value

    @field_validator("admin_chat_id")
    @classmethod
    def _group_id(cls, value: int) -> int:
        if value > 0:
            raise ValueError("must be a group's id, which is negative; a positive one is a person's")
        return value

    @field_validator("bot_token")
    @classmethod
    def _token_form(cls, value: SecretStr) -> SecretStr:
        raw = value.get_secret_value()
        head, _, tail = raw.partition(":")
        if raw and not (head.isdigit() and tail):
            raise ValueError("must look like 123456:ABC…, as BotFather gives it")
        return value

    @model_validator(mode="after")
    def _webhook_needs_a_place(self) -> Self:
        if self.telegram_mode == "webhook" and not (
            self.public_url and self.telegram_webhook_secret.get_secret_value()
        ):
            raise ValueError(
                "FORMA_TELEGRAM_MODE=webhook needs FORMA_PUBLIC_URL and FORMA_TELEGRAM_WEBHOOK_SECRET as well"
            )
        return self

    @model_validator(mode="after")
    def _shop_is_whole(self) -> Self:
        if bool(self.yookassa_shop_id) != bool(self.yookassa_secret_key.get_secret_value()):
            raise ValueError(
                "FORMA_YOOKASSA_SHOP_ID and FORMA_YOOKASSA_SECRET_KEY belong together: set both or neither"
            )
        if self.yookassa_shop_id and self.bot_id and not self.public_url:
            raise ValueError("FORMA_YOOKASSA_SHOP_ID needs FORMA_PUBLIC_URL as well: people pay on a page there")
        return self

    @model_validator(mode="after")
    def _model_has_a_name(self) -> Self:
        if bool(self.model_url) != bool(self.model_name):
            raise ValueError("FORMA_MODEL_URL and FORMA_MODEL_NAME belong together: set both or neither")
        return self

    @cached_property
    def bot_id(self) -> int:
        """Telegram's id of the bot, the part of its token before the colon; 0 without a token."""
        head = self.bot_token.get_secret_value().partition(":")[0]
        return int(head) if head else 0

    @cached_property
    def notification_networks(self) -> tuple[Network, ...]:
        """Whence YooKassa's notifications are taken."""
        return networks(self.yookassa_networks)

    @cached_property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The proxies whose X-Forwarded-For is believed."""
        return networks(self.trusted_proxies)

    @property
    def site_url(self) -> str:
        """Where people reach web's pages: FORMA_PUBLIC_URL, or the server itself on this machine."""
        return self.public_url or self.local_url

    @property
    def local_url(self) -> str:
        """Where web is reached from this machine."""
        host = "127.0.0.1" if self.http_host in {"0.0.0.0", "::", ""} else self.http_host  # noqa: S104 - compared only
        return f"http://[{host}]:{self.http_port}" if ":" in host else f"http://{host}:{self.http_port}"

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Hosts that links in answers may point to; all others are stripped."""
        return frozenset(host.strip().lower() for host in self.links_allowed.split(",") if host.strip())


def load(**overrides: object) -> Settings:
    """Read the settings; raise Misconfigured that names each wrong setting by its environment variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "FORMA_" + "_".join(str(part) for part in problem["loc"]).upper() if problem["loc"] else "settings"
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        raise Misconfigured("\n".join(lines)) from None
