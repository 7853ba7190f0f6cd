"""MessagePack-RPC: frames without I/O, a blocking client, an asyncio server, and the methods with their roles."""
