"""memory_svc put together: its store, its embedding model, its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any

from lair.memory.v1 import conversation_service_pb2, memory_service_pb2, recall_service_pb2
from lair.memory.v1.conversation_service_pb2_grpc import add_ConversationServiceServicer_to_server
from lair.memory.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from lair.memory.v1.recall_service_pb2_grpc import add_RecallServiceServicer_to_server
from memory_svc.conversations import Conversations
from memory_svc.embedding.base import Embedder
from memory_svc.embedding.cross_encoder import CrossEncoder
from memory_svc.embedding.off import NoEmbedder
from memory_svc.embedding.sentence import SentenceEmbedder
from memory_svc.forgetting import Forgetting
from memory_svc.ingest import Indexer
from memory_svc.memory_service import MemoryService
from memory_svc.notes import Notes
from memory_svc.recall import Recalls
from memory_svc.recall_log import RecallLog
from memory_svc.reranking import Reranking
from memory_svc.search import Search
from memory_svc.service import ConversationService, RecallService
from memory_svc.storage.local.store import open_local_store
from memory_svc.tidying import tidy_up
from memory_svc.turns import Turns
from svckit import settings as config
from svckit.grpc_server import Servicers
from svckit.serve import serve_until_stopped


async def run(settings: config.Settings) -> None:
    """Serve on the configured address until the process is asked to stop."""
    await serve_until_stopped(open_service(settings), settings.listen("memory"))


@asynccontextmanager
async def open_service(
    settings: config.Settings, *, embedder: Embedder | None = None
) -> AsyncIterator[Servicers]:
    """Open storage, index in the background, and yield the services.

    `embedder` is the one that the settings ask for if None. It loads in the
    background: the services answer at once, by words until it is ready.
    """
    memory = settings.memory
    async with open_local_store(settings.memory_database) as store, _reranking(memory) as reranking:
        with closing(embedder or embedder_for(settings)) as model:
            indexer = Indexer(store, model)
            conversations = ConversationService(
                Conversations(store, on_stored=indexer.wake),
                Turns(store),
                default_user=memory.default_user,
            )
            search = Search(
                store, model, threshold=memory.similarity_threshold, reranking=reranking
            )
            log = RecallLog(store)
            recalls = Recalls(
                *(store, search, log),
                passages=memory.context_limit,
                tokens=memory.recall_tokens,
            )
            recall = RecallService(
                *(search, recalls, store, model), default_user=memory.default_user
            )
            keeping = MemoryService(
                Notes(store, on_changed=indexer.wake),
                Forgetting(store, log),
                default_user=memory.default_user,
            )
            async with (
                _in_background(indexer.run()),
                _in_background(log.run()),
                _in_background(tidy_up(store)),
            ):
                yield _servicers(conversations, recall, keeping)


def embedder_for(settings: config.Settings) -> Embedder:
    """Return the embedder that the settings ask for, not yet loaded."""
    memory = settings.memory
    if memory.enabled and memory.index:
        runtime = memory.embedding_runtime
        return SentenceEmbedder(memory.embedding_model, settings.embedding_models, runtime=runtime)
    return NoEmbedder(memory.embedding_model)


@asynccontextmanager
async def _reranking(memory: config.Memory) -> AsyncIterator[Reranking | None]:
    """Load a cross-encoder beside the block, if one is configured."""
    if not memory.rerank_model:
        yield None
        return
    with closing(CrossEncoder(memory.rerank_model)) as model:
        async with _in_background(model.load()):
            yield Reranking(model, seconds=memory.rerank_timeout_ms / 1000)


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block and end it with the block.

    Not a TaskGroup, which would wrap the block's own error in an ExceptionGroup:
    whoever starts services wants to tell a port in use from a fault.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def _servicers(
    conversations: ConversationService, recall: RecallService, keeping: MemoryService
) -> Servicers:
    return Servicers(
        name="memory",
        descriptors=(
            conversation_service_pb2.DESCRIPTOR.services_by_name["ConversationService"],
            recall_service_pb2.DESCRIPTOR.services_by_name["RecallService"],
            memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"],
        ),
        register=(
            partial(add_ConversationServiceServicer_to_server, conversations),
            partial(add_RecallServiceServicer_to_server, recall),
            partial(add_MemoryServiceServicer_to_server, keeping),
        ),
    )
