"""Uploaded files: bytes in memory, and under DIR/files when the sandbox keeps data. Downloads stop at 20 MB."""

import secrets
import struct
from pathlib import Path

from sandbox.telegram.errors import bad_request
from sandbox.telegram.state import File, Json, State

DOWNLOAD_BYTES_MAX = 20 * 1024 * 1024
UPLOAD_BYTES_MAX = 50 * 1024 * 1024
PHOTO_BYTES_MAX = 10 * 1024 * 1024
MEMORY_BYTES_MAX = 256 * 1024 * 1024
FILES_MAX = 10_000
_FOLDERS = {"photo": "photos", "voice": "voice", "document": "documents", "video": "videos", "audio": "music"}
_SUFFIXES = {"photo": ".jpg", "voice": ".oga", "video": ".mp4", "audio": ".mp3"}


def image_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG or GIF, from its header; None for anything else."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack("<HH", content[6:10])
        return width, height
    if content[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(content):
        if content[at] != 0xFF:
            return None
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


class Files:
    """Puts and finds files by file_id. The oldest bytes leave memory at MEMORY_BYTES_MAX (disk keeps them), the oldest
    files leave altogether at FILES_MAX."""

    def __init__(self, state: State, folder: Path | None) -> None:
        self._state, self._folder = state, folder
        self._bytes: dict[str, bytes] = {}
        self._total = 0

    def put(self, kind: str, content: bytes | None, *, size: int, name: str | None, mime_type: str | None) -> File:
        """Stores a file of the kind (photo, voice, …); without content it has only a size."""
        unique_id = secrets.token_urlsafe(9)
        self._state.serial += 1
        suffix = _SUFFIXES.get(kind) or (Path(name).suffix if name else "")
        path = f"{_FOLDERS.get(kind, 'documents')}/file_{self._state.serial}{suffix}"
        file = File(f"SBX{secrets.token_urlsafe(24)}", unique_id, path, size, mime_type, name, content is not None)
        if content is not None:
            if kind == "photo":
                file.width, file.height = image_size(content) or (0, 0)
            self._remember(unique_id, content)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / unique_id).write_bytes(content)
        self._state.files[file.file_id] = file
        if len(self._state.files) > FILES_MAX:
            self._forget(next(iter(self._state.files)))
        return file

    def _forget(self, file_id: str) -> None:
        file = self._state.files.pop(file_id)
        self._total -= len(self._bytes.pop(file.unique_id, b""))
        if self._folder is not None:
            (self._folder / file.unique_id).unlink(missing_ok=True)

    def _remember(self, unique_id: str, content: bytes) -> None:
        self._bytes[unique_id] = content
        self._total += len(content)
        while self._total > MEMORY_BYTES_MAX and len(self._bytes) > 1:
            oldest = next(iter(self._bytes))
            self._total -= len(self._bytes.pop(oldest))

    def find(self, file_id: str) -> File:
        """The file, or Telegram's 400."""
        file = self._state.files.get(file_id)
        if file is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        return file

    def content(self, file: File) -> bytes | None:
        """The bytes, or None if they are gone or never were."""
        if file.unique_id in self._bytes:
            return self._bytes[file.unique_id]
        if self._folder is not None and (path := self._folder / file.unique_id).is_file():
            return path.read_bytes()
        return None

    def by_path(self, path: str) -> File | None:
        """The file whose getFile answered this file_path."""
        return next((file for file in self._state.files.values() if file.path == path), None)


def as_photo(file: File) -> list[Json]:
    """PhotoSize list of a photo."""
    size: Json = {
        "file_id": file.file_id,
        "file_unique_id": file.unique_id,
        "width": file.width or 90,
        "height": file.height or 90,
        "file_size": file.size,
    }
    return [size]


def as_media(kind: str, file: File, duration: int = 0) -> Json:
    """The Message fields that carry a file of this kind."""
    if kind == "photo":
        return {"photo": as_photo(file)}
    media: Json = {"file_id": file.file_id, "file_unique_id": file.unique_id, "file_size": file.size}
    if file.mime_type:
        media["mime_type"] = file.mime_type
    if kind in {"voice", "audio", "video"}:
        media["duration"] = duration
    if kind == "video":
        media |= {"width": file.width or 640, "height": file.height or 360}
    if kind in {"document", "audio", "video"} and file.name:
        media["file_name"] = file.name
    return {kind: media}
