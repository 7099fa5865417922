"""What every use case is handed: one frozen App, made by the composition root (cli.compose)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from app.service_orders import ServiceOrders
from inference.models import Model, Models
from inference.queue.fair import FairQueue
from inference.replicas.choice import Replicas
from kit.clock import Clock
from kit.db import Database
from kit.jobs import Jobs
from kit.settings import Settings

if TYPE_CHECKING:
    from billing.catalog import Catalog as Plans
    from billing.yookassa.client import YooKassa


@dataclass(frozen=True)
class App:
    """The parts of Forma that use cases stand on. Nothing here is global."""

    settings: Settings
    clock: Clock
    db: Database
    redis: Redis
    jobs: Jobs
    models: Models
    plans: "Plans"
    queues: dict[str, FairQueue]
    """The fair queue of each chat model, by model id."""
    replicas: Replicas
    """Hands out the servers of the models, for turns and for whatever else asks a model."""
    service: ServiceOrders = field(default_factory=ServiceOrders)
    """Slow lanes and maintenance windows that are on; followed by app.service_lanes."""
    yookassa: "YooKassa | None" = None
    """The shop that takes roubles; None while nothing is sold for them."""

    def chat_model(self, model_id: str = "") -> Model:
        """Return a chat model by id, or its fallback if it is gone, or the first one of models.toml."""
        return self.models.heir(model_id) or self.models.of("chat")[0]

    def chat_model_of(self, plan_id: str) -> Model:
        """Return the chat model that answers people of a plan: the first of models.toml that the plan may use."""
        chat = self.models.of("chat")
        return next((model for model in chat if model.allows(plan_id)), chat[0])

    @property
    def reasons(self) -> bool:
        """Whether a chat model can reason before it answers: then /think stands in the menus."""
        return any(model.reasons for model in self.models.of("chat"))
