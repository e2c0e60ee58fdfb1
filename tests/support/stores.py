# SPDX-License-Identifier: Apache-2.0
"""The kinds of buckets that the recorder knows, one like the other, so that what must hold of all is tested of all."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from tests.support.azure import azure_server
from tests.support.buckets import AnyBucket
from tests.support.google import GET, PUT, Account, google_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, s3_server

KINDS: Final = ("S3", "GoogleCloudStorage", "AzureBlobStorage")


class AnyStore(ABC):
    """A running store, and the files that hold what opens it."""

    vendor: ClassVar[str]
    words: ClassVar[Mapping[str, str]]
    """What the recorder says to do about: a wrong key, one that is unknown, one without rights."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, Path] = {}

    @property
    def document(self) -> dict[str, Any]:
        """The recorder's storage, but for its bucket."""
        vendor = {} if self.vendor == "S3" else {"vendor": self.vendor}
        files = {name: str(path) for name, path in self.files.items()}
        return {**vendor, **self.account, "endpoint": self.endpoint, "credentialFiles": files}

    @property
    def account(self) -> dict[str, str]:
        """The account that its buckets are in."""
        return {}

    @property
    def backup(self) -> dict[str, Any]:
        """The same as backup store."""
        return {**self.document, "vendor": self.vendor}

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where it answers."""

    def requests(self) -> list[tuple[str, str, str, int]]:
        """Method, path, query and status of each so far, where the store keeps account of them."""
        raise NotImplementedError

    def change_answers(self, change: Callable[[str, str, dict[str, str]], None]) -> None:
        """Has the headers of an answer to a request (method, path) changed."""
        raise NotImplementedError

    @abstractmethod
    def bucket(self, name: str) -> AnyBucket:
        """Returns the bucket, made if it does not exist."""

    @abstractmethod
    def use_the_key(self) -> None:
        """Has the files hold what opens everything."""

    @abstractmethod
    def use_a_wrong_key(self) -> None:
        """Has the files hold a key that is none of the store's."""

    @abstractmethod
    def use_a_key_that_only_puts(self, bucket: AnyBucket) -> None:
        """Has the files hold a key that may put objects of new names, and nothing else."""

    def use_a_key_that_may_not_put(self, bucket: AnyBucket) -> None:
        """Has the files hold a key that may get objects, and nothing else."""
        raise NotImplementedError

    @abstractmethod
    def start(self) -> None:
        """Returns once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Returns once nobody listens any more."""

    def write(self, name: str, text: str) -> None:
        self.files[name] = self.directory / name
        self.files[name].write_text(text)


class S3Store(AnyStore):
    vendor = "S3"
    words: ClassVar = {"wrong": "correct the secret key", "denied": "s3:PutObject"}

    def __init__(self, directory: Path, life: contextlib.ExitStack, tls: tuple[Path, Path] | None) -> None:
        super().__init__(directory)
        self.server = life.enter_context(s3_server(directory / "s3", tls=tls))

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def bucket(self, name: str) -> AnyBucket:
        return self.server.bucket(name)

    def use_the_key(self) -> None:
        self.write("accessKey", ACCESS_KEY)
        self.write("secretKey", SECRET_KEY)

    def use_a_wrong_key(self) -> None:
        self.write("accessKey", ACCESS_KEY)
        self.write("secretKey", "wrong")

    def use_a_key_that_only_puts(self, bucket: AnyBucket) -> None:
        access, secret = self.server.bucket(bucket.name).key_that_only_puts()
        self.write("accessKey", access)
        self.write("secretKey", secret)

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


class GoogleStore(AnyStore):
    vendor = "GoogleCloudStorage"
    words: ClassVar = {"wrong": "does not accept the service account's key", "denied": "roles/storage.objectUser"}

    def __init__(self, directory: Path, life: contextlib.ExitStack, tls: tuple[Path, Path] | None) -> None:
        super().__init__(directory)
        self.server = life.enter_context(google_server(directory / "google", tls=tls))

    def requests(self) -> list[tuple[str, str, str, int]]:
        return list(self.server.asked)

    def change_answers(self, change: Callable[[str, str, dict[str, str]], None]) -> None:
        self.server.change = change

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def bucket(self, name: str) -> AnyBucket:
        return self.server.bucket(name)

    def use(self, account: Account) -> None:
        self.write("serviceAccountKey", account.document())

    def use_the_key(self) -> None:
        self.use(self.server.account())

    def use_a_wrong_key(self) -> None:
        account = self.server.account()
        del self.server.accounts[account.key_id]
        self.use(account)

    def use_a_key_that_only_puts(self, bucket: AnyBucket) -> None:  # noqa: ARG002 - rights are of all buckets
        self.use(self.server.account(PUT))

    def use_a_key_that_may_not_put(self, bucket: AnyBucket) -> None:  # noqa: ARG002 - rights are of all buckets
        self.use(self.server.account(GET))

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


class AzureStore(AnyStore):
    vendor = "AzureBlobStorage"
    words: ClassVar = {"wrong": "does not accept the account key, SAS token or identity", "denied": "write blobs"}

    def __init__(self, directory: Path, life: contextlib.ExitStack, tls: tuple[Path, Path] | None) -> None:
        super().__init__(directory)
        self.server = life.enter_context(azure_server(tls=tls))

    def requests(self) -> list[tuple[str, str, str, int]]:
        return [(method, *path.partition("?")[::2], status) for method, path, status in list(self.server.asked)]

    def change_answers(self, change: Callable[[str, str, dict[str, str]], None]) -> None:
        self.server.change = change

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @property
    def account(self) -> dict[str, str]:
        return {"account": self.server.account}

    def bucket(self, name: str) -> AnyBucket:
        return self.server.bucket(name)

    def use_the_key(self) -> None:
        self.write("accountKey", self.server.key)

    def use_a_wrong_key(self) -> None:
        self.write("accountKey", "c29tZWJvZHkgZWxzZSdz")

    def use_a_key_that_only_puts(self, bucket: AnyBucket) -> None:
        self.use_token(self.server.sas(bucket.name, "cw"))

    def use_a_key_that_may_not_put(self, bucket: AnyBucket) -> None:
        self.use_token(self.server.sas(bucket.name, "r"))

    def use_token(self, token: str) -> None:
        self.files = {}
        self.write("sasToken", token)

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


@contextlib.contextmanager
def any_store(kind: str, directory: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[AnyStore]:
    """A running store of this kind for the time of the block, and the key to all of it in the files."""
    made: dict[str, type[S3Store | GoogleStore | AzureStore]] = {
        one.vendor: one for one in (S3Store, GoogleStore, AzureStore)
    }
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as life:
        store = made[kind](directory, life, tls)
        store.use_the_key()
        yield store
