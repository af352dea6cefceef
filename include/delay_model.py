"""The demo's trainer: gradient boosting on 24 features of a flight, known before it leaves."""

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder


def train(data, params):
    texts = make_column_selector(dtype_include=object)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=float("nan"), encoded_missing_value=float("nan")
    )
    columns = make_column_transformer((encoder, texts), remainder="passthrough")
    # The encoder puts the text columns first.
    categorical = list(range(len(texts(data.X))))
    settings = {
        "learning_rate": 0.06,
        "max_iter": 60,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 200,
        "l2_regularization": 5.0,
        # Its own split is random in time; the holdout of the pipeline is not.
        "early_stopping": False,
        "random_state": 0,
    }
    model = HistGradientBoostingClassifier(categorical_features=categorical, **{**settings, **params})
    return make_pipeline(columns, model).fit(data.X, data.y)
