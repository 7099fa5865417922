"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import admin, buttons, chat, commands, members, money, settings


def routers() -> list[Router]:
    """Return fresh routers; the operator's room is asked first, free text last."""
    return [module.router() for module in (admin, members, money, settings, commands, buttons, chat)]
