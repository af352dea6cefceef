{{ window_counts() }}
