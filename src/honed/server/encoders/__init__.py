"""What encoders answer: embeddings, rerank, score."""
